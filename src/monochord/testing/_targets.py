"""Targets whose moments are known in closed form; data are arguments, so one shape compiles once."""

import jax.numpy as jnp
import numpy as np

from monochord.targets import CallableTarget, callable_target


def gaussian_target(mean, covariance) -> CallableTarget:
    """N(mean, covariance) on the coordinates ``x[0] ... x[dim-1]``, without its constant.

    All targets of one dimension share one compiled function. The centre of random starts is 0, not `mean`.
    """
    covariance = np.asarray(covariance, dtype=np.float64)
    scale = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale)) * scale[:, None]
    data = {"mean": np.asarray(mean, dtype=np.float64), "inverse_factor": np.linalg.inv(factor)}
    return callable_target(_gaussian, {"x": np.zeros(len(scale))}, data)


def _gaussian(params, mean, inverse_factor):
    return -0.5 * jnp.sum((inverse_factor @ (params["x"] - mean)) ** 2)


def funnel_target(dim: int = 10, scale: float = 3.0) -> CallableTarget:
    """Neal's funnel (2003, Annals of Statistics 31): v ~ N(0, scale²), x_i ~ N(0, exp(v)), i < dim.

    Moments: `funnel_moments`. No metric suits it.
    """
    return callable_target(_funnel, {"v": 0.0, "x": np.zeros(dim - 1)}, {"scale": np.asarray(scale)})


def _funnel(params, scale):
    v, x = params["v"], params["x"]
    return -0.5 * (v / scale) ** 2 - 0.5 * jnp.sum(x**2) * jnp.exp(-v) - 0.5 * x.size * v


def funnel_moments(dim: int = 10, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of `funnel_target`: 0 and diag(scale², exp(scale²/2), ...)."""
    return np.zeros(dim), np.diag([scale**2, *[np.exp(scale**2 / 2.0)] * (dim - 1)])


def banana_target(curvature: float = 0.3, scale: float = 2.0) -> CallableTarget:
    """X ~ N(0, scale²), y ~ N(curvature (x² − scale²), 1): skewed and bent. Moments: `banana_moments`."""
    data = {"curvature": np.asarray(curvature), "scale": np.asarray(scale)}
    return callable_target(_banana, {"x": 0.0, "y": 0.0}, data)


def _banana(params, curvature, scale):
    x, y = params["x"], params["y"]
    return -0.5 * (x / scale) ** 2 - 0.5 * (y - curvature * (x**2 - scale**2)) ** 2


def banana_moments(curvature: float = 0.3, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of `banana_target`: 0 and diag(scale², 1 + 2 curvature² scale⁴)."""
    return np.zeros(2), np.diag([scale**2, 1.0 + 2.0 * curvature**2 * scale**4])


def flat_direction_target(dim: int = 3) -> CallableTarget:
    """Unit normals except for the last coordinate, which has no prior: an improper density."""
    return callable_target(_flat, {"x": np.zeros(dim)})


def _flat(params):
    return -0.5 * jnp.sum((params["x"][:-1] - 1.5) ** 2) + 0.0 * params["x"][-1]


def nowhere_finite_target() -> CallableTarget:
    """The logarithm of a negative number, as from data outside the support: NaN everywhere."""
    return callable_target(_nowhere, {"a": 0.3, "b": np.zeros(2)}, {"observed": np.array([-2.0, -0.5])})


def _nowhere(params, observed):
    return jnp.sum(jnp.log(observed) * jnp.exp(params["a"])) - 0.5 * jnp.sum(params["b"] ** 2)
