"""Skewed and heavy-tailed coordinates, alone and leaning on each other, without and with maps; everything charged.

Run: python -m benchmarks.tails [problem ...] [--seeds 0 … 9] [--maps off on] [--output benchmarks/results/tails.csv]
     python -m benchmarks.tails --table
Each problem has a distribution function for each of its parts, in closed form or by one-dimensional quadrature. A row is right where the run
ended by itself, every coordinate has an ESS of 300, and no part's share of draws below its 5, 50 and 95 % quantiles is off by more than the
draws allow. Rows are those of `benchmarks.maps`.
"""

import argparse
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy import special, stats

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.maps import FIELDS, LEAST_ESS, MAX_GRADIENTS, mc_convergence, share_score, table  # noqa: E402
from benchmarks.missing_rows import append_missing, read_csv  # noqa: E402

PATH = Path(__file__).parent / "results" / "tails.csv"
DIM, SKEWNESS, TAIL = 50, 0.8, 0.7
CORRELATION = 0.5 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM)))
MIXING = np.linalg.cholesky(CORRELATION)
INVERSE = np.linalg.inv(MIXING)
SHARES = (0.05, 0.5, 0.95)


class Case(NamedTuple):
    """A log density of x and the distribution functions of its parts, at draws (…, dim)."""

    log_density: Callable
    cdf: Callable[[np.ndarray], np.ndarray]
    dim: int = DIM


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


def row(name: str, seed: int, maps: str) -> dict:
    """One fit and one run."""
    case = CASES[name]()
    target = mc.target(lambda params: case.log_density(params["x"]), init={"x": np.zeros(case.dim)})
    fit = mc.fit(target, seed=seed, maps=maps == "on", progress=False)
    data = mc.sample(target, fit=fit, seed=seed, max_gradients=MAX_GRADIENTS, progress=False)
    attrs = data.sample_stats.attrs
    x = data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    ess, r_hat = mc_convergence(x)
    below = case.cdf(x)
    scores = {(i, share): share_score(below[:, :, i] < share, share) for i in range(below.shape[2]) for share in SHARES}
    worst = max(scores, key=lambda key: scores[key])
    limit = float(stats.norm.isf(truth.FALSE_ALARM / (2 * len(scores))))
    reasons = [attrs["status"]] if attrs["status"] != "target ESS reached" else []
    reasons += [f"ESS {ess:.0f}"] if not ess >= LEAST_ESS else []
    reasons += [f"part {worst[0]} off by {scores[worst]:.1f} standard errors"] if not scores[worst] <= limit else []
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    return {
        "problem": name, "maps": maps, "seed": seed, "right": not reasons, "why_not": "; ".join(reasons), "total": sum(gradients.values()),
        **gradients, "mapped": fit.map.num_moved if fit.map is not None else 0, "linear_verdict": fit.verdict if fit.map is None else "",
        "verdict": fit.verdict, "kernel": attrs["kernel"], "status": attrs["status"], "ess": round(ess), "r_hat": round(r_hat, 4),
        "worst": f"{worst[0]} at {worst[1]:.0%}", "error_z": round(scores[worst], 2), "z_limit": round(limit, 2),
    }  # fmt: skip


def main() -> None:
    """Make the rows that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=tuple(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=tuple(range(10)))
    parser.add_argument("--maps", nargs="+", choices=("off", "on"), default=("off", "on"))
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.table:
        print(table(read_csv(options.output)))
        return
    wanted = product(options.problems, options.seeds, options.maps)
    append_missing(options.output, FIELDS, wanted, ("problem", "seed", "maps"), row)


if __name__ == "__main__":
    main()
