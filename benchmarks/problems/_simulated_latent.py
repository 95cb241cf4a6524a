"""Simulated latent-process models: a Gaussian process and stochastic volatility."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._problem import Params, Problem, zeros
from ._simulated_regressions import NO_REFERENCE


def _gp_constrain(params: Params, *, x: ArrayLike, **_: Any) -> Params:
    rho, alpha = jnp.exp(params["log_rho"]), jnp.exp(params["log_alpha"])
    points = jnp.asarray(x)
    distances = (points[:, None] - points[None, :]) / rho
    jitter = 1e-6 * jnp.eye(points.shape[0])
    covariance = alpha**2 * jnp.exp(-0.5 * distances**2) + jitter
    factor = jnp.linalg.cholesky(covariance)
    return {"rho": rho, "alpha": alpha, "f": factor @ params["z"]}


def _gp_log_density(params: Params, *, x: ArrayLike, counts: ArrayLike) -> jax.Array:
    values = _gp_constrain(params, x=x)
    # The Jacobian of rho = exp(log_rho) cancels the -log rho of the log-normal.
    log_prior = densities.normal(params["log_rho"], 0.0, 0.5)
    log_prior += densities.half_normal(values["alpha"], 1.0) + params["log_alpha"]
    log_prior += densities.normal(params["z"], 0.0, 1.0)
    return densities.log_poisson(counts, values["f"]) + log_prior


def gp_82() -> Problem:
    """Return a latent Gaussian process with Poisson counts at 80 equispaced points."""
    x = np.linspace(-3.0, 3.0, 80)
    counts = np.random.default_rng(12).poisson(np.exp(np.sin(2 * x)))
    return Problem(
        name="gp_82",
        dim=82,
        log_density=_gp_log_density,
        constrain=_gp_constrain,
        init=zeros(log_rho=(), log_alpha=(), z=(80,)),
        data={"x": x, "counts": counts.astype(np.float64)},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="start only",
    )


def _accumulate_ar1(phi: jax.Array, shocks: jax.Array) -> jax.Array:
    """Return h_t = phi h_(t-1) + shocks_t with h_1 = shocks_1, in log depth."""

    def combine(left: tuple, right: tuple) -> tuple:
        return left[0] * right[0], right[0] * left[1] + right[1]

    factors = jnp.full_like(shocks, 1.0) * phi
    return jax.lax.associative_scan(combine, (factors, shocks))[1]


def _sv_constrain(params: Params, **_: Any) -> Params:
    phi = jnp.tanh(0.5 * params["logit_phi"])
    sigma = jnp.exp(params["log_sigma"])
    # The first log volatility is stationary: sd sigma / sqrt(1 - phi^2), and
    # 1 - tanh(u/2)^2 = 1 / cosh(u/2)^2 does not cancel near phi = 1.
    first = params["z"][:1] * jnp.cosh(0.5 * params["logit_phi"])
    shocks = sigma * jnp.concatenate([first, params["z"][1:]])
    h = params["mu"] + _accumulate_ar1(phi, shocks)
    return {"mu": params["mu"], "phi": phi, "sigma": sigma, "h": h}


def _sv_log_density(params: Params, *, y: ArrayLike) -> jax.Array:
    values = _sv_constrain(params)
    h = values["h"]
    log_likelihood = -0.5 * jnp.sum(h + jnp.asarray(y) ** 2 * jnp.exp(-h))
    log_prior = densities.cauchy(values["mu"], 10.0)
    log_prior += densities.cauchy(values["sigma"], 5.0) + params["log_sigma"]
    log_prior += densities.logit_jacobian(params["logit_phi"])
    log_prior += densities.normal(params["z"], 0.0, 1.0)
    return log_likelihood + log_prior


def sv_503() -> Problem:
    """Return stochastic volatility with 500 standardised innovations.

    All innovations of h are drawn first (the first one from the stationary law), then
    the noise of y.
    """
    phi, sigma, mu, length = 0.97, 0.2, -1.0, 500
    generator = np.random.default_rng(13)
    shocks = sigma * generator.standard_normal(length)
    h = np.empty(length)
    h[0] = shocks[0] / np.sqrt(1 - phi**2)
    for time in range(1, length):
        h[time] = phi * h[time - 1] + shocks[time]
    y = np.exp(0.5 * (mu + h)) * generator.standard_normal(length)
    return Problem(
        name="sv_503",
        dim=503,
        log_density=_sv_log_density,
        constrain=_sv_constrain,
        init=zeros(mu=(), logit_phi=(), log_sigma=(), z=(length,)),
        data={"y": y},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="start only",
    )
