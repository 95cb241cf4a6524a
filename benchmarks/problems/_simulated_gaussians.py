"""Gaussian problems, and Gaussians with a box or a corner of NaN gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._moments import exact_moment, gaussian_moments
from ._problem import Moment, Params, Problem, identity, zeros

GAUSSIAN_SOURCE = "closed form: mean and covariance of the Gaussian"


def _rotated_log_density(params: Params, *, mean: ArrayLike, basis: ArrayLike, precisions: ArrayLike) -> jax.Array:
    coordinates = jnp.asarray(basis).T @ (params["x"] - mean)
    return -0.5 * jnp.sum(precisions * coordinates**2)


def rotated_problem(name: str, dim: int, seed: int, log10_condition: float, mean_scale: float) -> Problem:
    """Build N(mean, Q diag(1/lambda) Q^T); the matrix is drawn first, then the mean."""
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.standard_normal((dim, dim)))
    mean = np.zeros(dim)
    if mean_scale:
        mean = mean_scale * generator.standard_normal(dim)
    precisions = np.logspace(0.0, log10_condition, dim)
    return Problem(
        name=name,
        dim=dim,
        log_density=_rotated_log_density,
        constrain=identity,
        init=zeros(x=(dim,)),
        data={"mean": mean, "basis": basis, "precisions": precisions},
        reference=gaussian_moments("x", mean, basis**2 @ (1 / precisions)),
        reference_source=GAUSSIAN_SOURCE,
        verdict="trust",
    )


def gauss_100() -> Problem:
    """Return a dense Gaussian with precisions 1 ... 1e4."""
    return rotated_problem("gauss_100", 100, 1, 4.0, 0.0)


def gauss_100_1e8() -> Problem:
    """Return a dense Gaussian with precisions 1 ... 1e8 and a mean far from zero."""
    return rotated_problem("gauss_100_1e8", 100, 2, 8.0, 100.0)


def ill_cond_50() -> Problem:
    """Return a dense centred Gaussian with precisions 1 ... 1e5."""
    return rotated_problem("ill_cond_50", 50, 3, 5.0, 0.0)


def _spikes_log_density(params: Params, *, spikes: ArrayLike, sds: ArrayLike) -> jax.Array:
    x, directions = params["x"], jnp.asarray(spikes)
    coordinates = directions.T @ x
    # The residual is formed first: |x|^2 - |c|^2 would cancel where sds are 100.
    residual = x - directions @ coordinates
    return -0.5 * (jnp.sum(residual**2) + jnp.sum((coordinates / sds) ** 2))


def spikes_problem(name: str, dim: int, count: int, seed: int) -> Problem:
    """Unit variances but for `count` random directions with sd 100 and as many with sd 0.01."""
    spikes, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, 2 * count)))
    sds = np.repeat([100.0, 0.01], count)
    variances = 1.0 + spikes**2 @ (sds**2 - 1.0)
    return Problem(
        name=name,
        dim=dim,
        log_density=_spikes_log_density,
        constrain=identity,
        init=zeros(x=(dim,)),
        data={"spikes": spikes, "sds": sds},
        reference=gaussian_moments("x", np.zeros(dim), variances),
        reference_source=GAUSSIAN_SOURCE,
        verdict="trust",
    )


def spikes_10k() -> Problem:
    """Return unit variances but for 10 directions with sd 100 and 10 with sd 0.01."""
    return spikes_problem("spikes_10k", 10_000, 10, seed=4)


def _scaled_ar1_log_density(params: Params, *, sds: ArrayLike, correlation: ArrayLike) -> jax.Array:
    return -0.5 * densities.ar1_quadratic_form(params["x"] / sds, correlation)


def scales_1e12() -> Problem:
    """Return an AR(1) Gaussian whose sds span twelve orders of magnitude."""
    sds = np.logspace(-6.0, 6.0, 50)
    return Problem(
        name="scales_1e12",
        dim=50,
        log_density=_scaled_ar1_log_density,
        constrain=identity,
        init=zeros(x=(50,)),
        data={"sds": sds, "correlation": 0.9},
        reference=gaussian_moments("x", np.zeros(50), sds**2),
        reference_source=GAUSSIAN_SOURCE,
        verdict="trust",
    )


def _box_log_density(params: Params, *, correlation: ArrayLike, bound: ArrayLike) -> jax.Array:
    gaussian = -0.5 * densities.ar1_quadratic_form(params["x"], correlation)
    inside = jnp.all(jnp.abs(params["x"]) < bound)
    return jnp.where(inside, gaussian, -jnp.inf)


def box_moments(dim: int, correlation: float, bound: float) -> dict[str, Moment]:
    """Return the moments of an AR(1) Gaussian cut off at |x_i| < bound.

    The density is a Markov chain, so each marginal is a product of a forward and a
    backward pass of Gauss-Legendre quadrature, exact to rounding with 200 nodes.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    nodes, weights = bound * nodes, bound * weights
    steps = nodes[:, None] - correlation * nodes[None, :]  # [to, from]
    kernel = np.exp(-0.5 * steps**2 / (1 - correlation**2))
    forward, backward = [np.exp(-0.5 * nodes**2)], [np.ones_like(nodes)]
    for _ in range(dim - 1):
        forward.append(kernel @ (weights * forward[-1]))
        backward.append(kernel.T @ (weights * backward[-1]))
    reference = {}
    for index in range(dim):
        marginal = weights * forward[index] * backward[dim - 1 - index]
        second, fourth = (marginal @ nodes**p / marginal.sum() for p in (2, 4))
        sd_sq = np.sqrt(fourth - second**2)
        reference[f"x[{index + 1}]"] = exact_moment(0.0, second, sd_sq)
    return reference


def box_5() -> Problem:
    """Return an AR(1) Gaussian inside a box: -inf with zero gradient outside."""
    return Problem(
        name="box_5",
        dim=5,
        log_density=_box_log_density,
        constrain=identity,
        init=zeros(x=(5,)),
        data={"correlation": 0.9, "bound": 2.0},
        reference=box_moments(5, 0.9, 2.0),
        reference_source="means by symmetry, variances by deterministic quadrature (Gauss-Legendre, exact to rounding)",
        verdict="start only",
    )


@jax.custom_jvp
def _nan_gradient_where(value: jax.Array, is_bad: jax.Array) -> jax.Array:
    """Return `value`, with a derivative that is NaN where `is_bad`."""
    del is_bad
    return value


@_nan_gradient_where.defjvp
def _nan_gradient_where_jvp(primals: tuple, tangents: tuple) -> tuple:
    value, is_bad = primals
    factor = jnp.where(is_bad, jnp.nan, 1.0)
    return _nan_gradient_where(value, is_bad), tangents[0] * factor


def _nan_corner_log_density(params: Params, *, correlation: ArrayLike, corner: ArrayLike) -> jax.Array:
    gaussian = -0.5 * densities.ar1_quadratic_form(params["x"], correlation)
    return _nan_gradient_where(gaussian, jnp.all(params["x"] > corner))


def nan_corner_5() -> Problem:
    """Return an AR(1) Gaussian with finite values but NaN gradients where all x > 3."""
    return Problem(
        name="nan_corner_5",
        dim=5,
        log_density=_nan_corner_log_density,
        constrain=identity,
        init=zeros(x=(5,)),
        data={"correlation": 0.9, "corner": 3.0},
        reference=gaussian_moments("x", np.zeros(5), np.ones(5)),
        reference_source=GAUSSIAN_SOURCE + "; only the gradient is broken",
        verdict="trust",
    )
