"""Skewed and heavy-tailed coordinates, alone and leaning on each other, without and with maps; everything charged.

Run: python -m benchmarks.tails [problem ...] [--seeds 0 … 9] [--maps off on] [--output benchmarks/results/tails.csv]
     python -m benchmarks.tails --table
Each problem has a distribution function for each of its parts, in closed form or by one-dimensional quadrature; rows are judged as in `benchmarks.parts`.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from scipy import special, stats

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

from benchmarks.parts import Case, main  # noqa: E402

PATH = Path(__file__).parent / "results" / "tails.csv"
DIM, SKEWNESS, TAIL = 50, 0.8, 0.7
CORRELATION = 0.5 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM)))
MIXING = np.linalg.cholesky(CORRELATION)
INVERSE = np.linalg.inv(MIXING)


def _log_gamma(y):
    """Log densities of logarithms of gamma variables with shape ½."""
    return 0.5 * y - jnp.exp(y)


def _student(degrees: float) -> Case:
    return Case(lambda x: -0.5 * (degrees + 1) * jnp.sum(jnp.log1p(x**2 / degrees)), stats.t(degrees).cdf)


def _inner(y, xp):
    """A Gaussian variable for one of Jones & Pewsey's law."""
    return xp.sinh(TAIL * xp.arcsinh(y) - SKEWNESS)


def _log_slope(y):
    return jnp.sum(0.5 * jnp.log1p(_inner(y, jnp) ** 2) - 0.5 * jnp.log1p(y**2))


def _log_sinh_arcsinh(y):
    return -0.5 * jnp.sum(_inner(y, jnp) ** 2) + _log_slope(y)


def _mixed(log_density: Callable, cdf: Callable) -> Case:
    """Of linear mixtures of independent parts, with the correlations `CORRELATION`; judged by the parts."""
    return Case(lambda x: log_density(INVERSE @ x), lambda x: cdf(x @ INVERSE.T))


def _coupled() -> Case:
    """Sinh-arcsinh laws of Gaussian variables with correlations."""
    precision = np.linalg.inv(CORRELATION)

    def log_density(x):
        inner = _inner(x, jnp)
        return -0.5 * inner @ precision @ inner + _log_slope(x)

    return Case(log_density, lambda x: special.ndtr(_inner(x, np)))


def _interpolated(grid, weights) -> Callable[[np.ndarray], np.ndarray]:
    """Distribution functions from weights (parts, points) on an equidistant grid."""
    sums = np.cumsum((weights[:, 1:] + weights[:, :-1]) / 2.0, axis=1)
    below = np.concatenate([np.zeros((len(weights), 1)), sums], axis=1) / sums[:, -1:]

    def cdf(x):
        return np.stack([np.interp(x[..., i], grid, below[i]) for i in range(len(below))], axis=-1)

    return cdf


def _counts() -> Case:
    """Log rates of Poisson counts that follow an autoregression: the truth by sums forward and backward over a grid."""
    counts = np.random.default_rng(0).poisson(0.4, DIM)
    grid, carry, spread = np.linspace(-14.0, 4.0, 1801), 0.8, 1.2
    own = np.exp(counts[:, None] * grid - np.exp(grid))
    step = np.exp(-0.5 * ((grid[None, :] - carry * grid[:, None]) / spread) ** 2)
    first = np.exp(-0.5 * (1.0 - carry**2) * (grid / spread) ** 2)

    def log_density(x):
        gaps = jnp.sum((x[1:] - carry * x[:-1]) ** 2) + (1.0 - carry**2) * x[0] ** 2
        return jnp.sum(counts * x - jnp.exp(x)) - 0.5 * gaps / spread**2

    ahead, behind = [first], [np.ones_like(grid)]
    for i in range(DIM - 1):
        new = (ahead[-1] * own[i]) @ step
        ahead.append(new / new.sum())
        new = step @ (behind[-1] * own[DIM - 1 - i])
        behind.append(new / new.sum())
    return Case(log_density, _interpolated(grid, np.array(ahead) * own * np.array(behind[::-1])))


def _scales() -> Case:
    """Log scales of 50 groups about their mean (the last coordinate), two observations each: the truth by quadrature over both."""
    squares = np.sum((np.exp(0.7 * stats.norm.ppf((np.arange(DIM) + 0.5) / DIM)) * np.random.default_rng(1).standard_normal((2, DIM))) ** 2, axis=0)  # fmt: skip
    spread, grid, means = 0.7, np.linspace(-6.0, 4.0, 1001), np.linspace(-2.0, 2.0, 401)

    def log_density(x):
        scale, mean = x[:-1], x[-1]
        own = -2.0 * scale - 0.5 * squares * jnp.exp(-2.0 * scale)
        return jnp.sum(own - 0.5 * ((scale - mean) / spread) ** 2) - 0.5 * mean**2

    own = np.exp(-2.0 * grid - 0.5 * squares[:, None] * np.exp(-2.0 * grid))
    prior = np.exp(-0.5 * ((grid[None, :] - means[:, None]) / spread) ** 2)
    each = own @ prior.T  # group, mean
    log_mean = np.log(each).sum(0) - 0.5 * means**2
    weight = np.exp(log_mean - log_mean.max())
    groups = _interpolated(grid, own * ((weight / each) @ prior))
    mean = _interpolated(means, weight[None])
    return Case(log_density, lambda x: np.concatenate([groups(x[..., :-1]), mean(x[..., -1:])], axis=-1), DIM + 1)


CASES: dict[str, Callable[[], Case]] = {
    "log_gamma": lambda: Case(lambda x: jnp.sum(_log_gamma(x)), lambda x: special.gammainc(0.5, np.exp(x))),
    "gumbel": lambda: Case(lambda x: jnp.sum(-x - jnp.exp(-x)), lambda x: np.exp(-np.exp(-x))),
    "student2": lambda: _student(2.0),
    "student3": lambda: _student(3.0),
    "sinh_arcsinh": lambda: Case(_log_sinh_arcsinh, lambda x: special.ndtr(_inner(x, np))),
    "sinh_arcsinh_coupled": _coupled,
    "counts": _counts,
    "scales": _scales,
    "log_gamma_mixed": lambda: _mixed(lambda y: jnp.sum(_log_gamma(y)), lambda y: special.gammainc(0.5, np.exp(y))),
    "sinh_arcsinh_mixed": lambda: _mixed(_log_sinh_arcsinh, lambda y: special.ndtr(_inner(y, np))),
}

if __name__ == "__main__":
    main(CASES, PATH, __doc__)
