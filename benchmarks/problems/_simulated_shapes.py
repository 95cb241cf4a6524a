"""Problems that no Gaussian fits: funnels, bananas, two modes, heavy tails."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._moments import exact_moment
from ._problem import Params, Problem, entry_names, identity, zeros


def _funnel_log_density(params: Params, *, v_sd: ArrayLike) -> jax.Array:
    v, x = params["v"], params["x"]
    return -0.5 * (v / v_sd) ** 2 + densities.normal_log_scale(x, 0.5 * v)


def _funnel(dim: int) -> Problem:
    """Build Neal's funnel.  E exp(v) = e^4.5 gives its moments.

    The variance of x^2 is 3 e^18 - e^9, which draws in the thousands never show: of 80 sets of 4,000 independent exact draws 69
    are called wrong on some x^2. So it is infinite as far as the judge goes, who compares the means of x, and v with its square.
    """
    x_moment = exact_moment(0.0, np.exp(4.5), np.inf)
    reference = {"v": exact_moment(0.0, 9.0, np.sqrt(2.0) * 9.0)}
    reference |= dict.fromkeys(entry_names("x", (dim - 1,)), x_moment)
    return Problem(
        name=f"funnel_{dim}",
        dim=dim,
        log_density=_funnel_log_density,
        constrain=identity,
        init=zeros(v=(), x=(dim - 1,)),
        data={"v_sd": 3.0},
        reference=reference,
        reference_source="closed form: moments of the log-normal variance exp(v)",
        verdict="do not use",
    )


def funnel_10() -> Problem:
    """Return the funnel with nine conditionally normal coordinates."""
    return _funnel(10)


def funnel_100() -> Problem:
    """Return the funnel with 99 conditionally normal coordinates."""
    return _funnel(100)


def _rosenbrock_log_density(params: Params, *, stiffness: ArrayLike) -> jax.Array:
    x, y = params["x"], params["y"]
    return -0.5 * jnp.sum((x - 1) ** 2) - stiffness * jnp.sum((y - x**2) ** 2)


def rosenbrock_10() -> Problem:
    """Return five pairs x ~ N(1, 1), y given x ~ N(x^2, 1/10).

    With n = E x^n at N(1, 1): E x^2 = 2, E x^4 = 10, E x^6 = 76, E x^8 = 764.
    """
    noise = 0.1
    fourth = 764.0 + 6 * noise * 10.0 + 3 * noise**2  # E y^4
    mean_sq = 10.0 + noise
    x_moment = exact_moment(1.0, 1.0, np.sqrt(10.0 - 4.0))
    y_moment = exact_moment(2.0, mean_sq - 4.0, np.sqrt(fourth - mean_sq**2))
    reference = dict.fromkeys(entry_names("x", (5,)), x_moment)
    reference |= dict.fromkeys(entry_names("y", (5,)), y_moment)
    return Problem(
        name="rosenbrock_10",
        dim=10,
        log_density=_rosenbrock_log_density,
        constrain=identity,
        init=zeros(x=(5,), y=(5,)),
        data={"stiffness": 5.0},
        reference=reference,
        reference_source="closed form: moments of N(1, 1) up to order eight",
        verdict="do not use",
    )


def _two_modes_log_density(params: Params, *, centre: ArrayLike, weights: ArrayLike) -> jax.Array:
    x, log_weights = params["x"], jnp.log(jnp.asarray(weights))
    lower = log_weights[0] - 0.5 * jnp.sum((x + centre) ** 2)
    upper = log_weights[1] - 0.5 * jnp.sum((x - centre) ** 2)
    return jnp.logaddexp(lower, upper)


def two_modes_10() -> Problem:
    """Return 0.3 N(-3e, I) + 0.7 N(3e, I) with a random unit vector e."""
    direction = np.random.default_rng(15).standard_normal(10)
    centre = 3.0 * direction / np.linalg.norm(direction)
    keys = entry_names("x", (10,))
    reference = {}
    for key, entry in zip(keys, centre, strict=True):
        mean, mean_sq = 0.4 * entry, 1.0 + entry**2
        sd_sq = np.sqrt(2.0 + 4.0 * entry**2)  # x^2 has one law in both modes
        reference[key] = exact_moment(mean, mean_sq - mean**2, sd_sq)
    return Problem(
        name="two_modes_10",
        dim=10,
        log_density=_two_modes_log_density,
        constrain=identity,
        init=zeros(x=(10,)),
        data={"centre": centre, "weights": np.array([0.3, 0.7])},
        reference=reference,
        reference_source="closed form: moments of the two-component mixture",
        verdict="start only, two modes reported",
    )


def _student_log_density(params: Params, *, degrees: ArrayLike, correlation: ArrayLike) -> jax.Array:
    square = densities.ar1_quadratic_form(params["x"], correlation)
    exponent = 0.5 * (jnp.asarray(degrees) + params["x"].size)
    return -exponent * jnp.log1p(square / degrees)


def student3_50() -> Problem:
    """Return a multivariate Student-t: variance 3, infinite variance of x^2."""
    moment = exact_moment(0.0, 3.0, np.inf)
    return Problem(
        name="student3_50",
        dim=50,
        log_density=_student_log_density,
        constrain=identity,
        init=zeros(x=(50,)),
        data={"degrees": 3.0, "correlation": 0.95},
        reference=dict.fromkeys(entry_names("x", (50,)), moment),
        reference_source="closed form: covariance 3 R; x^2 has infinite variance",
        verdict="start only",
    )
