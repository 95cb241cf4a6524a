"""Simulated hierarchical models: counts in groups, item response, varying slopes.

Group sizes are as equal as can be: observation i belongs to group i mod num_groups.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._problem import Params, Problem, zeros
from ._simulated_regressions import NO_REFERENCE, bernoulli, sigmoid


def _groups(num_observations: int, num_groups: int) -> np.ndarray:
    return (np.arange(num_observations) % num_groups).astype(np.int32)


def _glmm_constrain(params: Params, **_: Any) -> Params:
    values = {name: params[name] for name in ("beta", "mu", "u")}
    return values | {"s": jnp.exp(params["log_s"])}


def _glmm_log_density(params: Params, *, design: ArrayLike, group: ArrayLike, counts: ArrayLike) -> jax.Array:
    mu, u, log_s = params["mu"], params["u"], params["log_s"]
    log_rate = jnp.asarray(u)[jnp.asarray(group)] + jnp.asarray(design) @ params["beta"]
    log_prior = densities.normal(params["beta"], 0.0, 1.0)
    log_prior += densities.normal(mu, 0.0, 5.0)
    log_prior += densities.half_normal(jnp.exp(log_s), 1.0)
    log_prior += densities.normal_log_scale(u - mu, log_s)
    return densities.log_poisson(counts, log_rate) + log_prior + log_s


def glmm_57() -> Problem:
    """Return a centred Poisson mixed model: 1500 counts in 50 groups of 30."""
    generator = np.random.default_rng(9)
    group = _groups(1500, 50)
    design = generator.standard_normal((1500, 5))
    beta = 0.4 * generator.standard_normal(5)
    u = 0.5 + 0.6 * generator.standard_normal(50)
    counts = generator.poisson(np.exp(u[group] + design @ beta)).astype(np.float64)
    return Problem(
        name="glmm_57",
        dim=57,
        log_density=_glmm_log_density,
        constrain=_glmm_constrain,
        init=zeros(beta=(5,), mu=(), log_s=(), u=(50,)),
        data={"design": design, "group": group, "counts": counts},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="trust or start only",
    )


def _irt_constrain(params: Params, **_: Any) -> Params:
    return {
        "theta": params["theta"],
        "a": jnp.exp(params["log_a"]),
        "b": params["b"],
        "s_a": jnp.exp(params["log_s_a"]),
        "s_b": jnp.exp(params["log_s_b"]),
        "m_b": params["m_b"],
    }


def _irt_log_density(params: Params, *, outcomes: ArrayLike) -> jax.Array:
    values = _irt_constrain(params)
    gaps = values["theta"][None, :] - values["b"][:, None]
    logits = values["a"][:, None] * gaps
    log_prior = densities.normal(values["theta"], 0.0, 1.0)
    # The Jacobian of a = exp(log_a) cancels the -log a of the log-normal density.
    log_prior += densities.normal_log_scale(params["log_a"], params["log_s_a"])
    log_prior += densities.normal_log_scale(values["b"] - values["m_b"], params["log_s_b"])
    log_prior += densities.cauchy(values["s_a"], 2.0)
    log_prior += densities.cauchy(values["s_b"], 2.0)
    log_prior += densities.normal(values["m_b"], 0.0, 2.0)
    log_jacobian = params["log_s_a"] + params["log_s_b"]
    return densities.bernoulli_logit(outcomes, logits) + log_prior + log_jacobian


def irt_163() -> Problem:
    """Return a two-parameter item response model, 30 items x 100 persons.

    logit P(item i right by person j) = a_i (theta_j - b_i).
    """
    generator = np.random.default_rng(10)
    a = np.exp(0.5 * generator.standard_normal(30))
    b = generator.standard_normal(30)
    theta = generator.standard_normal(100)
    probability = sigmoid(a[:, None] * (theta[None, :] - b[:, None]))
    init = zeros(theta=(100,), log_a=(30,), b=(30,), log_s_a=(), log_s_b=(), m_b=())
    return Problem(
        name="irt_163",
        dim=163,
        log_density=_irt_log_density,
        constrain=_irt_constrain,
        init=init,
        data={"outcomes": bernoulli(generator, probability)},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="start only or trust",
    )


def _slopes_constrain(params: Params, **_: Any) -> Params:
    values = {name: params[name] for name in ("a", "b", "m_a", "m_u", "m_b")}
    scales = {name: jnp.exp(params[f"log_{name}"]) for name in ("s_a", "s_b", "s_y")}
    return values | scales


def _slopes_log_density(
    params: Params, *, x: ArrayLike, u: ArrayLike, group: ArrayLike, response: ArrayLike
) -> jax.Array:
    values = _slopes_constrain(params)
    rows = jnp.asarray(group)
    slopes = jnp.asarray(values["b"])[rows]
    residuals = response - jnp.asarray(values["a"])[rows] - slopes * x
    expected_a = values["m_a"] + values["m_u"] * u
    log_density = densities.normal_log_scale(residuals, params["log_s_y"])
    log_density += densities.normal_log_scale(values["a"] - expected_a, params["log_s_a"])
    log_density += densities.normal_log_scale(values["b"] - values["m_b"], params["log_s_b"])
    for name in ("m_a", "m_u", "m_b"):
        log_density += densities.normal(values[name], 0.0, 5.0)
    for name in ("s_a", "s_b", "s_y"):
        log_density += densities.half_normal(values[name], 1.0) + params[f"log_{name}"]
    return log_density


def slopes_176() -> Problem:
    """Return varying intercepts and slopes, centred: 919 observations, 85 groups."""
    num_observations, num_groups = 919, 85
    generator = np.random.default_rng(11)
    group = _groups(num_observations, num_groups)
    x = bernoulli(generator, np.full(num_observations, 0.17))
    u = generator.standard_normal(num_groups)
    a = 1.4 + 0.35 * u + 0.3 * generator.standard_normal(num_groups)
    b = -0.6 + 0.3 * generator.standard_normal(num_groups)
    noise = 0.75 * generator.standard_normal(num_observations)
    response = a[group] + b[group] * x + noise
    scalars = ("m_a", "m_u", "m_b", "log_s_a", "log_s_b", "log_s_y")
    init = zeros(a=(num_groups,), b=(num_groups,), **dict.fromkeys(scalars, ()))
    return Problem(
        name="slopes_176",
        dim=176,
        log_density=_slopes_log_density,
        constrain=_slopes_constrain,
        init=init,
        data={"x": x, "u": u, "group": group, "response": response},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="start only",
    )


def _slopes_noncentred_constrain(params: Params, *, u: ArrayLike, **_: Any) -> Params:
    values = _slopes_constrain(params)
    expected_a = values["m_a"] + values["m_u"] * u
    return values | {
        "a": expected_a + values["s_a"] * params["a"],
        "b": values["m_b"] + values["s_b"] * params["b"],
    }


def _slopes_noncentred_log_density(params: Params, **data: Any) -> jax.Array:
    values = _slopes_noncentred_constrain(params, **data)
    log_jacobian = params["a"].size * params["log_s_a"] + params["b"].size * params["log_s_b"]
    return _slopes_log_density(params | {name: values[name] for name in ("a", "b")}, **data) + log_jacobian


def slopes_176_noncentred() -> Problem:
    """Return `slopes_176` in the coordinates (a − m_a − m_u u)/s_a and (b − m_b)/s_b: the same posterior, no funnel."""
    return dataclasses.replace(
        slopes_176(),
        name="slopes_176_noncentred",
        log_density=_slopes_noncentred_log_density,
        constrain=_slopes_noncentred_constrain,
    )
