"""The reference posteriors that are not regressions (formulas: MODELS.md).

Each builder takes the raw JSON data and returns (log_density, constrain, init, data).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._posteriordb_regressions import Parts
from ._problem import Params, zeros


def _array(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _schools_log_prior(mu: jax.Array, log_tau: jax.Array) -> jax.Array:
    log_prior = densities.normal(mu, 0.0, 5.0)
    return log_prior + densities.cauchy(jnp.exp(log_tau), 5.0) + log_tau


def _noncentered_constrain(params: Params, **_: Any) -> Params:
    tau = jnp.exp(params["log_tau"])
    theta = params["mu"] + tau * params["theta_trans"]
    return {"theta": theta, "mu": params["mu"], "tau": tau}


def _noncentered_log_density(params: Params, *, y: ArrayLike, sigma: ArrayLike) -> jax.Array:
    theta = _noncentered_constrain(params)["theta"]
    log_prior = _schools_log_prior(params["mu"], params["log_tau"])
    log_prior += densities.normal(params["theta_trans"], 0.0, 1.0)
    return log_prior + densities.normal(y, theta, sigma)


def eight_schools_noncentered(raw: dict[str, Any]) -> Parts:
    """Eight school effects, sampled through standardised effects."""
    data = {"y": _array(raw["y"]), "sigma": _array(raw["sigma"])}
    init = zeros(theta_trans=data["y"].shape, mu=(), log_tau=())
    return _noncentered_log_density, _noncentered_constrain, init, data


def _centered_constrain(params: Params, **_: Any) -> Params:
    tau = jnp.exp(params["log_tau"])
    return {"theta": params["theta"], "mu": params["mu"], "tau": tau}


def _centered_log_density(params: Params, *, y: ArrayLike, sigma: ArrayLike) -> jax.Array:
    theta, mu, log_tau = params["theta"], params["mu"], params["log_tau"]
    log_prior = _schools_log_prior(mu, log_tau)
    log_prior += densities.normal_log_scale(theta - mu, log_tau)
    return log_prior + densities.normal(y, theta, sigma)


def eight_schools_centered(raw: dict[str, Any]) -> Parts:
    """The same posterior in the coordinates with the narrow funnel."""
    data = {"y": _array(raw["y"]), "sigma": _array(raw["sigma"])}
    init = zeros(theta=data["y"].shape, mu=(), log_tau=())
    return _centered_log_density, _centered_constrain, init, data


def _garch_constrain(params: Params, **_: Any) -> Params:
    alpha1 = jax.nn.sigmoid(params["logit_alpha1"])
    remainder = jax.nn.sigmoid(-params["logit_alpha1"])
    beta1 = remainder * jax.nn.sigmoid(params["logit_beta1"])
    alpha0 = jnp.exp(params["log_alpha0"])
    return {"mu": params["mu"], "alpha0": alpha0, "alpha1": alpha1, "beta1": beta1}


def _garch_log_density(params: Params, *, y: ArrayLike, sigma1: ArrayLike) -> jax.Array:
    values = _garch_constrain(params)
    squares = (jnp.asarray(y) - values["mu"]) ** 2
    shocks = values["alpha0"] + values["alpha1"] * squares[:-1]

    def advance(variance: jax.Array, shock: jax.Array) -> tuple[jax.Array, jax.Array]:
        variance = shock + values["beta1"] * variance
        return variance, variance

    first = jnp.full_like(shocks[0], 1.0) * sigma1**2
    _, later = jax.lax.scan(advance, first, shocks, unroll=8)
    variances = jnp.concatenate([first[None], later])
    log_likelihood = -0.5 * jnp.sum(jnp.log(variances) + squares / variances)
    # beta1 fills (0, 1 - alpha1): its Jacobian carries log(1 - alpha1) and keeps the
    # prior flat over the triangle.
    log_jacobian = params["log_alpha0"] - jax.nn.softplus(params["logit_alpha1"])
    log_jacobian += densities.logit_jacobian(params["logit_alpha1"])
    log_jacobian += densities.logit_jacobian(params["logit_beta1"])
    return log_likelihood + log_jacobian


def garch11(raw: dict[str, Any]) -> Parts:
    """GARCH(1,1) with flat priors; the first standard deviation is known."""
    init = zeros(mu=(), log_alpha0=(), logit_alpha1=(), logit_beta1=())
    data = {"y": _array(raw["y"]), "sigma1": float(raw["sigma1"])}
    return _garch_log_density, _garch_constrain, init, data


def _gp_constrain(params: Params, *, x: ArrayLike, **_: Any) -> Params:
    rho, alpha = jnp.exp(params["log_rho"]), jnp.exp(params["log_alpha"])
    points = jnp.asarray(x)
    distances = (points[:, None] - points[None, :]) / rho
    jitter = 1e-10 * jnp.eye(points.shape[0])
    covariance = alpha**2 * jnp.exp(-0.5 * distances**2) + jitter
    factor = jnp.linalg.cholesky(covariance)
    return {"rho": rho, "alpha": alpha, "f": factor @ params["f_tilde"]}


def _gp_log_density(params: Params, *, x: ArrayLike, k: ArrayLike) -> jax.Array:
    values = _gp_constrain(params, x=x)
    log_rho, log_alpha = params["log_rho"], params["log_alpha"]
    log_prior = 24.0 * log_rho - 4.0 * values["rho"]
    log_prior += densities.half_normal(values["alpha"], 2.0)
    log_prior += densities.normal(params["f_tilde"], 0.0, 1.0)
    return log_prior + densities.log_poisson(k, values["f"]) + log_rho + log_alpha


def gp_pois_regr(raw: dict[str, Any]) -> Parts:
    """Poisson counts whose log rate is a Gaussian process; needs double precision."""
    data = {"x": _array(raw["x"]), "k": _array(raw["k"])}
    init = zeros(log_rho=(), log_alpha=(), f_tilde=data["x"].shape)
    return _gp_log_density, _gp_constrain, init, data


def _hmm_constrain(params: Params, **_: Any) -> Params:
    logit1, logit2 = params["logit_theta1"], params["logit_theta2"]
    lower, gap = jnp.exp(params["log_mu_steps"])
    return {
        "theta1": jax.nn.sigmoid(jnp.stack([logit1, -logit1])),
        "theta2": jax.nn.sigmoid(jnp.stack([logit2, -logit2])),
        "mu": jnp.stack([lower, lower + gap]),
    }


def _hmm_log_density(params: Params, *, y: ArrayLike) -> jax.Array:
    logit1, logit2 = params["logit_theta1"], params["logit_theta2"]
    rows = jnp.stack([jnp.stack([logit1, -logit1]), jnp.stack([logit2, -logit2])])
    log_transition = jax.nn.log_sigmoid(rows)
    mu = _hmm_constrain(params)["mu"]
    log_emission = -0.5 * (jnp.asarray(y)[:, None] - mu[None, :]) ** 2

    def advance(log_forward: jax.Array, log_phi: jax.Array) -> tuple[jax.Array, None]:
        joint = log_forward[:, None] + log_transition
        return log_phi + jnp.logaddexp(joint[0], joint[1]), None

    last, _ = jax.lax.scan(advance, log_emission[0], log_emission[1:], unroll=4)
    log_prior = densities.normal(mu[0], 3.0, 1.0) + densities.normal(mu[1], 10.0, 1.0)
    log_jacobian = jnp.sum(params["log_mu_steps"])
    log_jacobian += densities.logit_jacobian(logit1) + densities.logit_jacobian(logit2)
    return jnp.logaddexp(last[0], last[1]) + log_prior + log_jacobian


def hmm_example(raw: dict[str, Any]) -> Parts:
    """Two-state hidden Markov chain, its path summed out by the forward recursion."""
    init = zeros(logit_theta1=(), logit_theta2=(), log_mu_steps=(2,))
    return _hmm_log_density, _hmm_constrain, init, {"y": _array(raw["y"])}


def _mixture_constrain(params: Params, **_: Any) -> Params:
    lower = params["mu_lower"]
    return {
        "mu": jnp.stack([lower, lower + jnp.exp(params["log_mu_gap"])]),
        "sigma": jnp.exp(params["log_sigma"]),
        "theta": jax.nn.sigmoid(params["logit_theta"]),
    }


def _mixture_log_density(params: Params, *, y: ArrayLike) -> jax.Array:
    values, log_sigma = _mixture_constrain(params), params["log_sigma"]
    logit = params["logit_theta"]
    log_weights = jax.nn.log_sigmoid(jnp.stack([logit, -logit]))
    standardised = (jnp.asarray(y)[:, None] - values["mu"][None, :]) / jnp.exp(log_sigma)[None, :]
    terms = (log_weights - log_sigma)[None, :] - 0.5 * standardised**2
    log_prior = densities.normal(values["mu"], 0.0, 2.0)
    log_prior += densities.half_normal(values["sigma"], 2.0) + 4 * jnp.sum(log_weights)
    log_jacobian = params["log_mu_gap"] + jnp.sum(log_sigma)
    log_jacobian += densities.logit_jacobian(logit)
    log_likelihood = jnp.sum(jnp.logaddexp(terms[:, 0], terms[:, 1]))
    return log_likelihood + log_prior + log_jacobian


def low_dim_gauss_mix(raw: dict[str, Any]) -> Parts:
    """Mixture of two normals with ordered means; theta weighs the lower one."""
    init = zeros(mu_lower=(), log_mu_gap=(), log_sigma=(2,), logit_theta=())
    return _mixture_log_density, _mixture_constrain, init, {"y": _array(raw["y"])}
