"""Blocks whose axes turn with a few coordinates, without and with maps; everything charged.

Run: python -m benchmarks.turning [problem ...] [--seeds 0 … 9] [--maps off on] [--output benchmarks/results/turning.csv]
     python -m benchmarks.turning --table
`turned_5`: four coordinates with regressions on each other that turn with a fifth. `gp_…`: Gaussian processes observed with noise, with length scale, amplitude and
noise unknown and the function in non-centred form. The parts of a row, judged as in `benchmarks.parts`, are the hyperparameters (by quadrature of their marginal
posterior) and the others whitened by their exact conditional given those.
"""

from pathlib import Path

import jax
import numpy as np
from scipy import special

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

from benchmarks.parts import Case, main  # noqa: E402

PATH = Path(__file__).parent / "results" / "turning.csv"
WIDTH = 4
ROWS, COLUMNS = np.tril_indices(WIDTH, -1)
POINTS = 64  # of quadrature, along each hyperparameter
PRIOR = np.array([[1.4, 0.5], [0.0, 1.0], [-1.0, 1.0]])  # means and deviations of log length scale, amplitude and noise


def _turned(strength: float, fastest: float) -> Case:
    """A standard normal d, and y given d Gaussian; regressions are `strength` sin(rate d)."""
    rates = np.linspace(0.4 * fastest, fastest, len(ROWS))

    def moments(d, xp):
        scale = xp.exp(-1.5 + 0.5 * xp.cos(xp.arange(WIDTH) + d[..., None]))
        return xp.stack([d, d**2 / 2, xp.sin(d), -d], axis=-1), strength * xp.sin(d[..., None] * rates), scale

    def log_density(x):
        mean, ties, scale = moments(x[0], jnp)
        factor = jnp.eye(WIDTH).at[ROWS, COLUMNS].set(ties)
        u = jax.scipy.linalg.solve_triangular(factor, x[1:] - mean, lower=True, unit_diagonal=True) / scale
        return -0.5 * x[0] ** 2 - 0.5 * u @ u - jnp.sum(jnp.log(scale))

    def cdf(x):
        mean, ties, scale = moments(x[..., 0], np)
        factor = np.zeros((*x.shape[:-1], WIDTH, WIDTH)) + np.eye(WIDTH)
        factor[..., ROWS, COLUMNS] = ties
        u = np.linalg.solve(factor, (x[..., 1:] - mean)[..., None])[..., 0] / scale
        return special.ndtr(np.concatenate([x[..., :1], u], axis=-1))

    return Case(log_density, cdf, 1 + WIDTH)


def _matern(r, xp):
    return (1.0 + np.sqrt(3.0) * r) * xp.exp(-np.sqrt(3.0) * r)


def _squared(r, xp):
    return xp.exp(-0.5 * r**2)


def _process(num: int, correlation, seed: int) -> Case:
    """A process at `num` points with noise of deviation .2."""
    rng = np.random.default_rng(seed)
    gaps = np.abs(np.subtract.outer(*[np.linspace(-10.0, 10.0, num)] * 2))

    def factor(log_rho, xp):
        return xp.linalg.cholesky(correlation(gaps / xp.exp(log_rho)[..., None, None], xp) + 1e-8 * np.eye(num))

    y = 1.5 * factor(np.log(4.0), np) @ rng.standard_normal(num) + 0.2 * rng.standard_normal(num)

    def log_density(x):
        left = y - jnp.exp(x[1]) * factor(x[0], jnp) @ x[3:]
        prior = -0.5 * jnp.sum(((x[:3] - PRIOR[:, 0]) / PRIOR[:, 1]) ** 2) - 0.5 * jnp.sum(x[3:] ** 2)
        return prior - 0.5 * jnp.sum(left**2) * jnp.exp(-2.0 * x[2]) - num * x[2]

    axes = [np.linspace(mean - 5 * sd, mean + 5 * sd, POINTS) for mean, sd in PRIOR]
    log_marginal = np.array(
        [[_log_evidence(y, factor(rho, np), alpha, axes[2]) for alpha in axes[1]] for rho in axes[0]]
    )
    for axis, (mean, sd) in enumerate(PRIOR):
        shape = np.where(np.arange(3) == axis, POINTS, 1)
        log_marginal = log_marginal - 0.5 * (((axes[axis] - mean) / sd) ** 2).reshape(shape)
    weight = np.exp(log_marginal - log_marginal.max())

    def cdf(x):
        shares = []
        for axis in range(3):
            own = weight.sum(tuple(k for k in range(3) if k != axis))
            below = np.concatenate([[0.0], np.cumsum((own[1:] + own[:-1]) / 2.0)])
            shares.append(np.interp(x[..., axis], axes[axis], below / below[-1]))
        return np.concatenate(
            [np.stack(shares, axis=-1), special.ndtr(_whitened(y, x, factor(x[..., 0], np)))], axis=-1
        )

    return Case(log_density, cdf, 3 + num)


def _log_evidence(y, factor, log_alpha, log_noise):
    """Log evidence at one length scale and amplitude, for each noise."""
    values, vectors = np.linalg.eigh(np.exp(2 * log_alpha) * factor @ factor.T)
    variance = values[None, :] + np.exp(2 * log_noise)[:, None]
    return -0.5 * np.sum((vectors.T @ y) ** 2 / variance + np.log(variance), axis=1)


def _whitened(y, x, factor):
    """The function's coordinates by their conditional: precision I + BᵀB with B the factor over the noise."""
    design = factor * np.exp(x[..., 1] - x[..., 2])[..., None, None]
    precision = np.eye(len(y)) + np.swapaxes(design, -1, -2) @ design
    mean = np.linalg.solve(precision, np.einsum("...ij,...i->...j", design, y * np.exp(-x[..., 2:3]))[..., None])[
        ..., 0
    ]
    return np.einsum("...ij,...i->...j", np.linalg.cholesky(precision), x[..., 3:] - mean)


CASES = {
    "turned_5": lambda: _turned(1.5, 0.7),
    "turned_5_steep": lambda: _turned(2.0, 0.7),
    "gp_squared_12": lambda: _process(12, _squared, 1),
    "gp_matern_12": lambda: _process(12, _matern, 2),
    "gp_matern_18": lambda: _process(18, _matern, 3),
}

if __name__ == "__main__":
    main(CASES, PATH, __doc__)
