"""Simulated regressions without groups: logistic, sparse logistic, linear, horseshoe.

Bernoulli outcomes are `generator.random(n) < probability`, drawn last.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._moments import Reference, exact_moment
from ._problem import Params, Problem, entry_names, identity, zeros

NO_REFERENCE = "none: the posterior has no closed form"


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def bernoulli(generator: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    """Draw 0/1 outcomes as floats, one uniform number each."""
    return (generator.random(probability.shape) < probability).astype(np.float64)


def _logistic_log_density(params: Params, *, design: ArrayLike, outcomes: ArrayLike, prior_sd: ArrayLike) -> jax.Array:
    logits = jnp.asarray(design) @ params["beta"]
    log_prior = densities.normal(params["beta"], 0.0, prior_sd)
    return densities.bernoulli_logit(outcomes, logits) + log_prior


def logistic_problem(name: str, generator: np.random.Generator, design: np.ndarray, beta: np.ndarray) -> Problem:
    """Logistic regression of outcomes drawn at `beta`, with prior sd 2; the first column of `design` becomes 1."""
    design[:, 0] = 1.0
    outcomes = bernoulli(generator, sigmoid(design @ beta))
    return Problem(
        name=name,
        dim=beta.size,
        log_density=_logistic_log_density,
        constrain=identity,
        init=zeros(beta=(beta.size,)),
        data={"design": design, "outcomes": outcomes, "prior_sd": 2.0},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="trust",
    )


def logistic_25() -> Problem:
    """Return a logistic regression with strongly correlated columns."""
    generator = np.random.default_rng(5)
    raw = generator.standard_normal((1000, 25))
    design = raw @ generator.standard_normal((25, 25)) * 2 / 5
    return logistic_problem("logistic_25", generator, design, 0.5 * generator.standard_normal(25))


def _sparse_log_density(
    params: Params,
    *,
    columns: ArrayLike,
    values: ArrayLike,
    outcomes: ArrayLike,
    prior_sd: ArrayLike,
) -> jax.Array:
    logits = jnp.sum(values * jnp.asarray(params["beta"])[jnp.asarray(columns)], axis=1)
    log_prior = densities.normal(params["beta"], 0.0, prior_sd)
    return densities.bernoulli_logit(outcomes, logits) + log_prior


def logistic_10k() -> Problem:
    """Return a sparse logistic regression: 20 distinct random columns in each row.

    Row by row the columns are drawn first, then all values; `columns` and `values`
    (rows x 20) stand for the 20,000 x 10,000 matrix.
    """
    num_rows, dim, per_row = 20_000, 10_000, 20
    generator = np.random.default_rng(6)
    columns = np.stack([generator.choice(dim, per_row, replace=False) for _ in range(num_rows)]).astype(np.int32)
    values = generator.standard_normal((num_rows, per_row))
    beta = 0.3 * generator.standard_normal(dim)
    outcomes = bernoulli(generator, sigmoid(np.sum(values * beta[columns], axis=1)))
    data = {"columns": columns, "values": values, "outcomes": outcomes}
    return Problem(
        name="logistic_10k",
        dim=dim,
        log_density=_sparse_log_density,
        constrain=identity,
        init=zeros(beta=(dim,)),
        data=data | {"prior_sd": 0.3},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="trust or start only",
    )


def _unscaled_log_density(params: Params, *, design: ArrayLike, response: ArrayLike) -> jax.Array:
    residuals = response - jnp.asarray(design) @ params["beta"]
    log_sigma = params["log_sigma"]
    log_prior = densities.cauchy(jnp.exp(log_sigma), 2.5)
    return densities.normal_log_scale(residuals, log_sigma) + log_prior + log_sigma


def _unscaled_constrain(params: Params, **_: Any) -> Params:
    return {"beta": params["beta"], "sigma": jnp.exp(params["log_sigma"])}


def _unscaled_reference(design: np.ndarray, response: np.ndarray) -> Reference:
    """Given sigma the coefficients are normal around least squares; sigma's own moments are integrals over one variable."""
    orthogonal, triangle = np.linalg.qr(design)
    centre = np.linalg.solve(triangle, orthogonal.T @ response)
    variances = np.sum(np.linalg.inv(triangle) ** 2, axis=1)
    degrees = len(response) - design.shape[1]
    squares = np.sum((response - design @ centre) ** 2)
    typical = np.sqrt(squares / degrees)
    sigma = np.linspace(0.6, 1.8, 20_001) * typical  # beyond, the density is below 1e-25 of its top
    log_density = -degrees * np.log(sigma) - squares / (2 * sigma**2) - np.log1p((sigma / 2.5) ** 2)
    weights = np.exp(log_density - log_density.max())
    first, second, fourth = (weights @ sigma**power / weights.sum() for power in (1, 2, 4))
    names = entry_names("beta", centre.shape)
    reference = {}
    for name, mean, size in zip(names, centre, variances, strict=True):
        spread = 3 * fourth * size**2 + 4 * mean**2 * second * size - (second * size) ** 2
        reference[name] = exact_moment(mean, second * size, np.sqrt(spread))
    return reference | {"sigma": exact_moment(first, second - first**2, np.sqrt(fourth - second**2))}


def regression_unscaled() -> Problem:
    """Return a linear regression on raw, collinear columns and an interaction."""
    generator = np.random.default_rng(7)
    x1 = 100.0 + 15.0 * generator.standard_normal(400)
    x2 = 0.9 * x1 + 4.0 * generator.standard_normal(400)
    x3 = bernoulli(generator, np.full(400, 0.5))
    design = np.column_stack([np.ones(400), x1, x2, x3, x1 * x3])
    noise = 18.0 * generator.standard_normal(400)
    response = design @ np.array([20.0, 0.3, 0.2, 5.0, -0.1]) + noise
    return Problem(
        name="regression_unscaled",
        dim=6,
        log_density=_unscaled_log_density,
        constrain=_unscaled_constrain,
        init=zeros(beta=(5,), log_sigma=()),
        data={"design": design, "response": response},
        reference=_unscaled_reference(design, response),
        reference_source="closed form given sigma, whose moments are one-dimensional integrals (exact to rounding)",
        verdict="trust",
    )


def _horseshoe_constrain(params: Params, **_: Any) -> Params:
    scales = jnp.exp(params["log_lambda"])
    tau = jnp.exp(params["log_tau"])
    beta = params["z"] * scales * tau
    return {
        "beta": beta,
        "intercept": params["intercept"],
        "tau": tau,
        "lambda": scales,
    } | {name: params[name] for name in ("z", "log_lambda", "log_tau")}  # these have moments


def _horseshoe_log_density(params: Params, *, design: ArrayLike, outcomes: ArrayLike) -> jax.Array:
    values = _horseshoe_constrain(params)
    logits = values["intercept"] + jnp.asarray(design) @ values["beta"]
    log_prior = densities.normal(params["z"], 0.0, 1.0)
    log_prior += densities.cauchy(values["lambda"], 1.0)
    log_prior += densities.cauchy(values["tau"], 0.1)
    log_prior += densities.normal(values["intercept"], 0.0, 2.0)
    log_jacobian = jnp.sum(params["log_lambda"]) + params["log_tau"]
    return densities.bernoulli_logit(outcomes, logits) + log_prior + log_jacobian


def horseshoe_122() -> Problem:
    """Return a logistic regression with a horseshoe prior; simulated intercept 0."""
    generator = np.random.default_rng(14)
    design = generator.standard_normal((100, 60))
    beta = np.zeros(60)
    beta[:5] = 2.0
    outcomes = bernoulli(generator, sigmoid(design @ beta))
    return Problem(
        name="horseshoe_122",
        dim=122,
        log_density=_horseshoe_log_density,
        constrain=_horseshoe_constrain,
        init=zeros(z=(60,), log_lambda=(60,), log_tau=(), intercept=()),
        data={"design": design, "outcomes": outcomes},
        reference=None,
        reference_source=NO_REFERENCE,
        verdict="do not use",
    )
