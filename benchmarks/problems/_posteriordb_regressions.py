"""The linear regressions among the reference posteriors (formulas: MODELS.md).

Each builder takes the raw JSON data and returns (log_density, constrain, init, data);
everything that depends on data alone (products, logarithms, lags) is done there once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._problem import Params, zeros

Parts = tuple[Callable, Callable, dict[str, np.ndarray], dict[str, Any]]
LogPrior = Callable[[jax.Array], jax.Array | float]


def _flat(_: jax.Array) -> float:
    return 0.0


def _regression(beta_log_prior: LogPrior, sigma_log_prior: LogPrior) -> Callable:
    """Make the log density of `response ~ Normal(design @ beta, sigma)`."""

    def log_density(params: Params, *, design: ArrayLike, response: ArrayLike) -> jax.Array:
        residuals = response - jnp.asarray(design) @ params["beta"]
        log_sigma = params["log_sigma"]
        log_prior = beta_log_prior(params["beta"]) + sigma_log_prior(jnp.exp(log_sigma))
        return densities.normal_log_scale(residuals, log_sigma) + log_prior + log_sigma

    return log_density


# Made once: loading a problem twice gives the same function, so jit's cache hits.
_flat_regression = _regression(_flat, _flat)
_cauchy_regression = _regression(_flat, lambda sigma: densities.cauchy(sigma, 2.5))
_blr_regression = _regression(
    lambda beta: densities.normal(beta, 0.0, 10.0),
    lambda sigma: densities.half_normal(sigma, 10.0),
)


def _constrain(params: Params, **_: Any) -> Params:
    return {"beta": params["beta"], "sigma": jnp.exp(params["log_sigma"])}


def _columns(raw: dict[str, Any], *names: str) -> list[np.ndarray]:
    return [np.asarray(raw[name], dtype=np.float64) for name in names]


def _parts(log_density: Callable, response: np.ndarray, *columns: np.ndarray) -> Parts:
    """Bundle a regression with an intercept column in front of `columns`."""
    design = np.column_stack([np.ones_like(response), *columns])
    init = zeros(beta=(design.shape[1],), log_sigma=())
    return log_density, _constrain, init, {"design": design, "response": response}


def kidscore_momhsiq(raw: dict[str, Any]) -> Parts:
    """Child's test score on the mother's schooling and IQ, nothing centred."""
    score, mom_hs, mom_iq = _columns(raw, "kid_score", "mom_hs", "mom_iq")
    return _parts(_cauchy_regression, score, mom_hs, mom_iq)


def kidscore_interaction(raw: dict[str, Any]) -> Parts:
    """Child's test score with the product of the raw predictors as a further one."""
    score, mom_hs, mom_iq = _columns(raw, "kid_score", "mom_hs", "mom_iq")
    return _parts(_cauchy_regression, score, mom_hs, mom_iq, mom_hs * mom_iq)


def logearn_interaction(raw: dict[str, Any]) -> Parts:
    """Log earnings on height, sex and their product; all priors flat."""
    earn, height, male = _columns(raw, "earn", "height", "male")
    return _parts(_flat_regression, np.log(earn), height, male, height * male)


def logmesquite_logvash(raw: dict[str, Any]) -> Parts:
    """Log leaf weight on log volume, area, shape and height, and the group."""
    weight, diam1, diam2, canopy, total, group = _columns(
        raw, "weight", "diam1", "diam2", "canopy_height", "total_height", "group"
    )
    volume = np.log(diam1 * diam2 * canopy)
    area, shape = np.log(diam1 * diam2), np.log(diam1 / diam2)
    height = np.log(total)
    return _parts(_flat_regression, np.log(weight), volume, area, shape, height, group)


def nes(raw: dict[str, Any]) -> Parts:
    """Party identification on voter properties; age class 1 is the baseline."""
    party, ideology, race, educ, gender, income, age = _columns(
        raw, "partyid7", "real_ideo", "race_adj", "educ1", "gender", "income",
        "age_discrete",
    )  # fmt: skip
    ages = [(age == level).astype(np.float64) for level in (2, 3, 4)]
    return _parts(_flat_regression, party, ideology, race, *ages, educ, gender, income)


def blr(raw: dict[str, Any]) -> Parts:
    """Regression without an intercept on five unscaled columns."""
    design, response = _columns(raw, "X", "y")
    init = zeros(beta=(design.shape[1],), log_sigma=())
    data = {"design": design, "response": response}
    return _blr_regression, _constrain, init, data


def _ark_log_density(params: Params, *, lags: ArrayLike, response: ArrayLike) -> jax.Array:
    residuals = response - params["alpha"] - jnp.asarray(lags) @ params["beta"]
    log_sigma = params["log_sigma"]
    log_prior = densities.normal(params["alpha"], 0.0, 10.0)
    log_prior += densities.normal(params["beta"], 0.0, 10.0)
    log_prior += densities.cauchy(jnp.exp(log_sigma), 2.5)
    return densities.normal_log_scale(residuals, log_sigma) + log_prior + log_sigma


def _ark_constrain(params: Params, **_: Any) -> Params:
    return {"alpha": params["alpha"]} | _constrain(params)


def ark(raw: dict[str, Any]) -> Parts:
    """Autoregression, conditioned on the first `K` values; lag 1 comes first."""
    (series,) = _columns(raw, "y")
    order = int(raw["K"])
    num_terms = len(series) - order
    lags = np.column_stack([series[order - lag : order - lag + num_terms] for lag in range(1, order + 1)])
    init = zeros(alpha=(), beta=(order,), log_sigma=())
    data = {"lags": lags, "response": series[order:]}
    return _ark_log_density, _ark_constrain, init, data


def _diamonds_log_density(params: Params, *, centred: ArrayLike, response: ArrayLike) -> jax.Array:
    residuals = response - params["Intercept"] - jnp.asarray(centred) @ params["b"]
    log_sigma = params["log_sigma"]
    log_prior = densities.normal(params["b"], 0.0, 1.0)
    log_prior += densities.student_t(params["Intercept"], 3.0, 8.0, 10.0)
    log_prior += densities.student_t(jnp.exp(log_sigma), 3.0, 0.0, 10.0)
    return densities.normal_log_scale(residuals, log_sigma) + log_prior + log_sigma


def _diamonds_constrain(params: Params, **_: Any) -> Params:
    sigma = jnp.exp(params["log_sigma"])
    return {"b": params["b"], "Intercept": params["Intercept"], "sigma": sigma}


def diamonds(raw: dict[str, Any]) -> Parts:
    """Log diamond prices on 24 centred, nearly collinear columns."""
    predictors, response = _columns(raw, "X", "Y")
    centred = predictors[:, 1:] - predictors[:, 1:].mean(axis=0, keepdims=True)
    init = zeros(b=(centred.shape[1],), Intercept=(), log_sigma=())
    data = {"centred": centred, "response": response}
    return _diamonds_log_density, _diamonds_constrain, init, data
