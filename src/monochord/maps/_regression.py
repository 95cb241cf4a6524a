"""Score matching of one coordinate at a time: location and scale as functions of other coordinates, from points already paid for.

A coordinate of a hierarchical model has a prior whose location and scale other coordinates set, and a likelihood that is
roughly a fixed Gaussian: its score is −w₁(z)(x − m(z)) − w₂(z)(x − y), log w = −2(a + c·z), and precisions add. With
σ⁻² = w₁ + w₂ and ℓ = (w₁m + w₂y)σ² it is N(ℓ, σ²) given z. In the coordinate u = (x − ℓ)/σ the residual is s̃ + u, s̃ = σs,
and its mean square, the coordinate's share of the Fisher divergence of the pulled-back target (Hyvärinen 2005), is
minimised. A nonlinear least-squares problem of few unknowns for each coordinate, solved side by side by Levenberg–Marquardt.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

MAX_STEPS = 600  # of Levenberg–Marquardt, along the narrow valley of two components; most coordinates need 20
TOLERANCE = 1e-6  # relative decrease at which a coordinate has converged
MAX_LOG_SCALE = 300.0  # exponentials stay finite
ABSENT = 250.0  # log scale of a component without precision
WEAKER = 1.0  # log scale by which a second component begins wider


class Design(NamedTuple):
    """Regressors by coordinate; the first column of each is 1. `of_scale` serves both components."""

    of_scale: Float[np.ndarray, "c n ka"]
    of_location: Float[np.ndarray, "c n kb"]

    def take(self, at) -> "Design":
        """The coordinates `at`."""
        return Design(self.of_scale[at], self.of_location[at])

    @property
    def cuts(self) -> tuple[int, int, int]:
        """Where the coefficients of the first location, the second scale and the second location begin."""
        ka, kb = self.of_scale.shape[2], self.of_location.shape[2]
        return ka, ka + kb, 2 * ka + kb


class ConditionalFit(NamedTuple):
    """Coefficients by coordinate: scale and location of the first component, scale and place y of the second.

    `error` holds their standard errors in that order. `explained` is the correlation of s̃ with −u: 1 where the drivers
    explain all of the coordinate's score.
    """

    theta: Float[np.ndarray, "c k"]
    error: Float[np.ndarray, "c k"]
    residual: Float[np.ndarray, " c"]
    explained: Float[np.ndarray, " c"]


def conditional_fit(
    x: Float[np.ndarray, "n c"],
    score: Float[np.ndarray, "n c"],
    design: Design,
    is_used: Bool[np.ndarray, "c k"],
    start: Float[np.ndarray, "c k"] | None = None,
) -> ConditionalFit:
    """Least mean squares of s̃ + u over the columns in `is_used`; others stay at 0, a second component without any absent.

    `start` holds coefficients of one component, to which a second of small precision is added. Coordinates should come with
    a spread near 1.
    """
    theta = _beginning(x, score, design, is_used, start)
    value, jacobian = _residuals(theta, x, score, design)
    size, damping = np.mean(value**2, axis=1), np.full(len(theta), 1e-2)
    is_open = np.ones(len(theta), bool)
    for _ in range(MAX_STEPS):
        at = np.flatnonzero(is_open)
        trial = theta[at] + _damped_step(value[at], jacobian[at], damping[at], is_used[at])
        new, new_jacobian = _residuals(trial, x[:, at], score[:, at], design.take(at))
        new_size = np.mean(new**2, axis=1)
        better = np.isfinite(new_size) & (new_size < size[at])
        is_open[at] = ~(better & (size[at] - new_size < TOLERANCE * size[at])) & (damping[at] < 1e12)
        won = at[better]
        theta[won], value[won], jacobian[won] = trial[better], new[better], new_jacobian[better]
        size[won] = new_size[better]
        damping[at] = np.where(better, np.maximum(damping[at] / 10.0, 1e-10), damping[at] * 6.0)
        if not np.any(is_open):
            break
    return _described(theta, value, jacobian, is_used, x, score, design)


def _beginning(x, score, design: Design, is_used, start):
    location, second, place = design.cuts
    if start is None:
        theta = np.zeros(is_used.shape)
        spread, steep = x.std(0), np.sqrt(np.mean(score**2, axis=0))
        theta[:, 0] = 0.5 * np.log(np.maximum(spread, 1e-300) / np.maximum(steep, 1e-300))
        theta[:, location] = x.mean(0)
        theta[:, second] = ABSENT
        return theta
    theta = start.copy()
    theta[:, second] = np.where(is_used[:, second], theta[:, 0] + WEAKER, ABSENT)
    theta[:, place] = np.where(is_used[:, second], x.mean(0), 0.0)
    return theta


class _Conditional(NamedTuple):
    share: np.ndarray  # of the first component in the precision
    log_scale: np.ndarray
    gap: np.ndarray  # m − y
    pulled: np.ndarray  # s̃
    u: np.ndarray


def _conditional(theta, x, score, design: Design) -> _Conditional:
    location, second, place = design.cuts
    first = np.clip((design.of_scale @ theta[:, :location, None])[..., 0], -MAX_LOG_SCALE, MAX_LOG_SCALE)
    other = np.clip((design.of_scale @ theta[:, second:place, None])[..., 0], -MAX_LOG_SCALE, MAX_LOG_SCALE)
    log_scale = -0.5 * np.logaddexp(-2.0 * first, -2.0 * other)
    share = np.exp(-2.0 * (first - log_scale))
    gap = (design.of_location @ theta[:, location:second, None])[..., 0] - theta[:, place, None]
    with np.errstate(over="ignore", invalid="ignore"):
        u = (x.T - theta[:, place, None] - share * gap) * np.exp(-log_scale)
        return _Conditional(share, log_scale, gap, score.T * np.exp(log_scale), u)


def _residuals(theta, x, score, design: Design):
    """s̃ + u, shape (c, n), and its Jacobian, shape (c, n, k)."""
    share, log_scale, gap, pulled, u = _conditional(theta, x, score, design)
    with np.errstate(over="ignore", invalid="ignore"):
        steep = np.exp(-log_scale)
        turn = -2.0 * share * (1.0 - share) * gap * steep  # of −ℓ/σ, as the first log scale rises and the second falls
        by_first, by_second = share * (pulled - u) - turn, (1.0 - share) * (pulled - u) + turn
        columns = (
            design.of_scale * by_first[..., None],
            -design.of_location * (share * steep)[..., None],
            design.of_scale * by_second[..., None],
            -((1.0 - share) * steep)[..., None],
        )
        return pulled + u, np.concatenate(columns, axis=2)


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


def _described(theta, value, jacobian, is_used, x, score, design: Design) -> ConditionalFit:
    n = value.shape[1]
    parts = _conditional(theta, x, score, design)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sizes = np.sqrt(np.mean(parts.pulled**2, axis=1) * np.mean(parts.u**2, axis=1))
        explained = -np.mean(parts.pulled * parts.u, axis=1) / sizes
        gram = np.swapaxes(jacobian, 1, 2) @ jacobian
    gram = np.where(is_used[:, :, None] & is_used[:, None, :], gram, 0.0)
    diagonal = np.einsum("ckk->ck", gram)
    floor = np.maximum(1e-12 * diagonal.max(1, keepdims=True), 1e-300)
    gram = np.nan_to_num(gram) + np.where(is_used, floor, 1.0)[:, :, None] * np.eye(gram.shape[1])
    residual = np.sum(value**2, axis=1) / np.maximum(n - is_used.sum(1), 1)
    variance = np.einsum("ckk->ck", np.linalg.pinv(gram)) * residual[:, None]
    error = np.where(is_used, np.sqrt(np.maximum(variance, 0.0)), 0.0)
    return ConditionalFit(theta, error, residual, np.nan_to_num(explained))
