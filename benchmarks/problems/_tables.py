"""Real tables that ship inside scikit-learn and statsmodels; nothing is downloaded.

Columns stay in their units unless a builder says otherwise. The two linear regressions have closed-form
moments; for the others nobody knows the truth, and `reference` is None.
"""

import importlib
import math
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import gammaln

from . import _log_densities as densities
from ._moments import Reference
from ._problem import Moment, Params, Problem, count_coordinates, entry_names, identity, zeros

NO_TRUTH = "none: the posterior has no closed form"


def _package(name: str, pip_name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModuleNotFoundError(
            f"`{name}` is not installed. The table of this problem ships inside it. Run: pip install {pip_name}"
        ) from None


def _sklearn(table: str, **options):
    return getattr(_package("sklearn.datasets", "scikit-learn"), f"load_{table}")(**options)


def _statsmodels(table: str):
    """The data frame of a table of statsmodels."""
    return getattr(_package("statsmodels.api", "statsmodels").datasets, table).load_pandas().data


def _with_intercept(*columns: np.ndarray) -> np.ndarray:
    first = np.asarray(columns[0], dtype=np.float64)
    return np.column_stack([np.ones(len(first)), *columns]).astype(np.float64)


def _standardised(columns: np.ndarray) -> np.ndarray:
    return (columns - columns.mean(0)) / columns.std(0)


def _problem(name, log_density, constrain, init, data, reference=None, source=NO_TRUTH, verdict="trust") -> Problem:
    return Problem(name, count_coordinates(init), log_density, constrain, init, data, reference, source, verdict)


# Linear regression with p(beta, sigma) ~ 1 / sigma: beta is Student-t, sigma^2 scaled inverse chi-square.


def _flat_log_density(params: Params, *, design: ArrayLike, response: ArrayLike) -> jax.Array:
    # the prior 1 / sigma and the Jacobian sigma of log sigma cancel
    residuals = response - jnp.asarray(design) @ params["beta"]
    return densities.normal_log_scale(residuals, params["log_sigma"])


def _flat_constrain(params: Params, **_) -> Params:
    return {"beta": params["beta"], "sigma": jnp.exp(params["log_sigma"])}


def _student_moment(mean: float, scale: float, degrees: int) -> Moment:
    """Moments of mean + scale t: E t^2 = n / (n - 2), E t^4 = 3 n^2 / ((n - 2)(n - 4))."""
    square = scale**2 * degrees / (degrees - 2)
    fourth = 3 * scale**4 * degrees**2 / ((degrees - 2) * (degrees - 4))
    variance_of_square = fourth + 4 * mean**2 * square - square**2
    return Moment(mean, math.sqrt(square), 0.0, mean**2 + square, 0.0, sd_sq=math.sqrt(variance_of_square))


def _sigma_moment(scale: float, degrees: int) -> Moment:
    """Moments of sigma where degrees * scale^2 / sigma^2 is chi-square."""
    half = degrees / 2
    mean = scale * math.sqrt(half) * math.exp(gammaln(half - 0.5) - gammaln(half))
    square = scale**2 * degrees / (degrees - 2)
    fourth = scale**4 * degrees**2 / ((degrees - 2) * (degrees - 4))
    return Moment(mean, math.sqrt(square - mean**2), 0.0, square, 0.0, sd_sq=math.sqrt(fourth - square**2))


def _regression_reference(design: np.ndarray, response: np.ndarray) -> Reference:
    """Least squares through orthogonal columns: the cross product alone would lose all digits of `longley`."""
    size = np.linalg.norm(design, axis=0)
    orthogonal, triangle = np.linalg.qr(design / size)
    mean = np.linalg.solve(triangle, orthogonal.T @ response) / size
    degrees = len(response) - design.shape[1]
    residuals = response - orthogonal @ (orthogonal.T @ response)
    scale = math.sqrt(residuals @ residuals / degrees)
    errors = scale * np.linalg.norm(np.linalg.inv(triangle), axis=1) / size
    names = entry_names("beta", mean.shape)
    beta = {name: _student_moment(float(m), float(s), degrees) for name, m, s in zip(names, mean, errors, strict=True)}
    return beta | {"sigma": _sigma_moment(scale, degrees)}


def _regression(name: str, design: np.ndarray, response: np.ndarray) -> Problem:
    init = zeros(beta=(design.shape[1],), log_sigma=())
    data = {"design": design, "response": np.asarray(response, dtype=np.float64)}
    reference = _regression_reference(design, data["response"])
    source = "closed form: Student-t coefficients, inverse chi-square variance"
    return _problem(name, _flat_log_density, _flat_constrain, init, data, reference, source)


def diabetes_12() -> Problem:
    """Progression of diabetes on ten measurements of 442 patients (scikit-learn), in their units."""
    table = _sklearn("diabetes", scaled=False)
    return _regression("diabetes_12", _with_intercept(table.data), table.target)


def longley_8() -> Problem:
    """Employment on six economic series of 16 years (statsmodels): condition number 5e9, in their units."""
    table = _statsmodels("longley")
    return _regression("longley_8", _with_intercept(table.iloc[:, 1:].to_numpy()), table.iloc[:, 0].to_numpy())


# Generalised linear models


def _logistic_log_density(params: Params, *, design: ArrayLike, outcome: ArrayLike, scale: ArrayLike) -> jax.Array:
    logits = jnp.asarray(design) @ params["beta"]
    return densities.bernoulli_logit(outcome, logits) + densities.normal(params["beta"], 0.0, jnp.asarray(scale))


def _logistic(name: str, design: np.ndarray, outcome: np.ndarray, scale: float) -> Problem:
    data = {"design": design, "outcome": np.asarray(outcome, dtype=np.float64), "scale": np.float64(scale)}
    return _problem(name, _logistic_log_density, identity, zeros(beta=(design.shape[1],)), data)


def breast_cancer_31() -> Problem:
    """Malignancy on 30 collinear, standardised measurements of 569 tumours (scikit-learn); N(0, 2²)."""
    table = _sklearn("breast_cancer")
    return _logistic("breast_cancer_31", _with_intercept(_standardised(table.data)), 1 - table.target, 2.0)


def fair_9() -> Problem:
    """Any affair, on eight answers of 6,366 women (statsmodels), in their units; N(0, 5²)."""
    table = _statsmodels("fair")
    columns = table.drop(columns="affairs").to_numpy()
    return _logistic("fair_9", _with_intercept(columns), table["affairs"].to_numpy() > 0, 5.0)


def _poisson_log_density(params: Params, *, design: ArrayLike, counts: ArrayLike) -> jax.Array:
    log_rate = jnp.asarray(design) @ params["beta"]
    return densities.log_poisson(counts, log_rate) + densities.normal(params["beta"], 0.0, 5.0)


def cpunish_7() -> Problem:
    """Executions in 17 states on six standardised properties of the state (statsmodels); N(0, 5²)."""
    table = _statsmodels("cpunish")
    design = _with_intercept(_standardised(table.iloc[:, 1:].to_numpy(dtype=np.float64)))
    data = {"design": design, "counts": table.iloc[:, 0].to_numpy(dtype=np.float64)}
    return _problem("cpunish_7", _poisson_log_density, identity, zeros(beta=(design.shape[1],)), data)


# A hierarchical model


def _grunfeld_log_density(params: Params, *, design: ArrayLike, firms: ArrayLike, response: ArrayLike) -> jax.Array:
    beta, firm = params["beta"], params["firm"]
    log_group, log_sigma = params["log_group_sd"], params["log_sigma"]
    residuals = response - firm @ jnp.asarray(firms) - jnp.asarray(design) @ beta
    log_prior = densities.normal(beta, 0.0, 2.0) + densities.normal(params["mu"], 0.0, 5.0)
    log_prior += densities.half_normal(jnp.exp(log_group), 2.0) + densities.half_normal(jnp.exp(log_sigma), 2.0)
    log_prior += densities.normal_log_scale(firm - params["mu"], log_group)
    return log_prior + densities.normal_log_scale(residuals, log_sigma) + log_group + log_sigma


def _grunfeld_constrain(params: Params, **_) -> Params:
    scales = {"group_sd": jnp.exp(params["log_group_sd"]), "sigma": jnp.exp(params["log_sigma"])}
    return {"beta": params["beta"], "mu": params["mu"], "firm": params["firm"]} | scales


def grunfeld_16() -> Problem:
    """Log investment of 11 firms in 20 years on log value and log capital; firm intercepts, centred (statsmodels)."""
    table = _statsmodels("grunfeld")
    firms = (table["firm"].to_numpy()[None, :] == np.unique(table["firm"])[:, None]).astype(np.float64)
    design = np.log(table[["value", "capital"]].to_numpy(dtype=np.float64))
    init = zeros(beta=(2,), mu=(), firm=(len(firms),), log_group_sd=(), log_sigma=())
    data = {"design": design, "firms": firms, "response": np.log(table["invest"].to_numpy(dtype=np.float64))}
    return _problem(
        "grunfeld_16", _grunfeld_log_density, _grunfeld_constrain, init, data, verdict="trust or start only"
    )


BUILDERS: dict[str, Callable[[], Problem]] = {
    builder.__name__: builder for builder in (breast_cancer_31, diabetes_12, longley_8, fair_9, cpunish_7, grunfeld_16)
}
