"""Score matching of one coordinate at a time: location and scale as functions of other coordinates, from points already paid for.

For x = ℓ(z) + e^{σ(z)} u with u normal, the conditional score is s = −e^{−2σ}(x − ℓ). In the coordinate u the residual is
s̃ + u, s̃ = e^{σ}s and u = e^{−σ}(x − ℓ), and its mean square, the coordinate's share of the Fisher divergence of the
pulled-back target (Hyvärinen 2005), is minimised over σ = A a and ℓ = B b. A Gauss–Newton problem of few unknowns for each
coordinate, solved for all of them side by side by Levenberg–Marquardt.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

MAX_STEPS = 60
TOLERANCE = 1e-7  # relative decrease at which a coordinate has converged
MAX_LOG_SCALE = 300.0  # exponentials stay finite


class ConditionalFit(NamedTuple):
    """Coefficients by coordinate (`c`), their standard errors, and how well the conditional explains the score.

    `explained` is the correlation of s̃ with −u: 1 where the drivers explain all of the coordinate's score.
    """

    scale: Float[np.ndarray, "c ka"]
    location: Float[np.ndarray, "c kb"]
    scale_error: Float[np.ndarray, "c ka"]
    location_error: Float[np.ndarray, "c kb"]
    residual: Float[np.ndarray, " c"]
    explained: Float[np.ndarray, " c"]


def conditional_fit(
    x: Float[np.ndarray, "n c"],
    score: Float[np.ndarray, "n c"],
    of_scale: Float[np.ndarray, "c n ka"],
    of_location: Float[np.ndarray, "c n kb"],
    is_used: Bool[np.ndarray, "c k"],
) -> ConditionalFit:
    """Least mean squares of s̃ + u; the first column of each design is 1, and columns not in `is_used` stay at 0.

    `is_used` has one entry a column, those of the scale first. Coordinates should come with a spread near 1.
    """
    num, width = is_used.shape
    ka = of_scale.shape[2]
    theta = np.zeros((num, width))
    theta[:, ka] = x.mean(0)
    spread, steep = x.std(0), np.sqrt(np.mean(score**2, axis=0))
    theta[:, 0] = 0.5 * np.log(np.maximum(spread, 1e-300) / np.maximum(steep, 1e-300))
    value, jacobian = _residuals(theta, x, score, of_scale, of_location)
    size, damping = np.mean(value**2, axis=1), np.full(num, 1e-2)
    is_open = np.ones(num, bool)
    for _ in range(MAX_STEPS):
        at = np.flatnonzero(is_open)
        trial = theta[at] + _damped_step(value[at], jacobian[at], damping[at], is_used[at])
        new, new_jacobian = _residuals(trial, x[:, at], score[:, at], of_scale[at], of_location[at])
        new_size = np.mean(new**2, axis=1)
        better = np.isfinite(new_size) & (new_size < size[at])
        is_open[at] = ~(better & (size[at] - new_size < TOLERANCE * size[at])) & (damping[at] < 1e12)
        won = at[better]
        theta[won], value[won], jacobian[won] = trial[better], new[better], new_jacobian[better]
        size[won] = new_size[better]
        damping[at] = np.where(better, np.maximum(damping[at] / 10.0, 1e-10), damping[at] * 6.0)
        if not np.any(is_open):
            break
    return _described(theta, value, jacobian, is_used, x, score, of_scale, of_location)


def _parts(theta, x, score, of_scale, of_location):
    ka = of_scale.shape[2]
    log_scale = np.clip((of_scale @ theta[:, :ka, None])[..., 0], -MAX_LOG_SCALE, MAX_LOG_SCALE)
    location = (of_location @ theta[:, ka:, None])[..., 0]
    with np.errstate(over="ignore", invalid="ignore"):
        return log_scale, score.T * np.exp(log_scale), (x.T - location) * np.exp(-log_scale)


def _residuals(theta, x, score, of_scale, of_location):
    """s̃ + u, shape (c, n), and its Jacobian, shape (c, n, k)."""
    log_scale, pulled, u = _parts(theta, x, score, of_scale, of_location)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = of_scale * (pulled - u)[..., None]
        return pulled + u, np.concatenate([wide, -of_location * np.exp(-log_scale)[..., None]], axis=2)


def _damped_step(value, jacobian, damping, is_used):
    n = value.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        turned = np.swapaxes(jacobian, 1, 2)
        gram = turned @ jacobian / n
        slope = (turned @ value[..., None])[..., 0] / n
    gram = np.where(is_used[:, :, None] & is_used[:, None, :], gram, 0.0)
    diagonal = np.einsum("ckk->ck", gram)
    lift = damping[:, None] * diagonal + np.maximum(1e-12 * diagonal.max(1, keepdims=True), 1e-300)
    gram = gram + np.where(is_used, lift, 1.0)[:, :, None] * np.eye(gram.shape[1])
    slope = np.where(is_used, slope, 0.0)
    bad = ~(np.all(np.isfinite(gram), axis=(1, 2)) & np.all(np.isfinite(slope), axis=1))
    gram[bad], slope[bad] = np.eye(gram.shape[1]), 0.0
    try:
        return -np.linalg.solve(gram, slope[..., None])[..., 0]
    except np.linalg.LinAlgError:
        return np.zeros_like(slope)


def _described(theta, value, jacobian, is_used, x, score, of_scale, of_location) -> ConditionalFit:
    ka, n = of_scale.shape[2], value.shape[1]
    _, pulled, u = _parts(theta, x, score, of_scale, of_location)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        explained = -np.mean(pulled * u, axis=1) / np.sqrt(np.mean(pulled**2, axis=1) * np.mean(u**2, axis=1))
    gram = np.swapaxes(jacobian, 1, 2) @ jacobian
    gram = np.where(is_used[:, :, None] & is_used[:, None, :], gram, 0.0)
    diagonal = np.einsum("ckk->ck", gram)
    floor = np.maximum(1e-12 * diagonal.max(1, keepdims=True), 1e-300)
    inverse = np.linalg.pinv(gram + np.where(is_used, floor, 1.0)[:, :, None] * np.eye(gram.shape[1]))
    freedom = np.maximum(n - is_used.sum(1), 1)
    variance = np.einsum("ckk->ck", inverse) * (np.sum(value**2, axis=1) / freedom)[:, None]
    error = np.where(is_used, np.sqrt(np.maximum(variance, 0.0)), 0.0)
    theta = np.where(is_used, theta, 0.0)
    residual = np.sum(value**2, axis=1) / freedom
    return ConditionalFit(
        theta[:, :ka], theta[:, ka:], error[:, :ka], error[:, ka:], residual, np.nan_to_num(explained)
    )  # fmt: skip
