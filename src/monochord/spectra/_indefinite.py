"""The share of points whose Hessian is indefinite, from a few Hessian-vector products."""

import jax
import numpy as np
from jaxtyping import Float

from monochord.estimate import Estimate
from monochord.metrics import AbstractMetric
from monochord.targets import AbstractTarget, HostTarget, evaluate, hessian_products

MAX_POINTS = 8  # whose Hessians are looked at for a negative eigenvalue
MAX_PRODUCTS = 8
STEP = 1e-4  # sds of the metric: central differences of scores then have errors of 1e-8, and only signs are asked for


def indefinite_share(lowest: Float[np.ndarray, " points"]) -> Estimate:
    """Share of points whose lowest Hessian eigenvalue (or a Rayleigh quotient above it) is negative.

    Standard error of a share under Jeffreys' prior: none of 8 points is no proof that there are none.
    """
    negative = np.asarray(lowest) < 0
    count = len(negative)
    share = (negative.sum() + 0.5) / (count + 1)
    return Estimate(float(negative.mean()), float(np.sqrt(share * (1 - share) / (count + 2))), count)


def share_of_indefinite(
    target: AbstractTarget, metric: AbstractMetric, points: Float[np.ndarray, "n dim"], rng: np.random.Generator
) -> tuple[Estimate, int]:
    """Share of at most 8 points whose Hessian has a negative eigenvalue, and the gradients spent (at most 128).

    Lanczos with at most 8 products on every point's whitened Hessian, side by side in one batch. A negative Ritz
    value proves the point indefinite (up to the error of differences); none does not disprove it, so the share is a lower bound.
    """
    points = np.asarray(points, dtype=np.float64)[:MAX_POINTS]
    steps = min(MAX_PRODUCTS, target.dim)
    start = rng.standard_normal(points.shape)
    basis = [start / np.linalg.norm(start, axis=1, keepdims=True)]
    projected = np.zeros((len(points), steps, steps))
    for step in range(steps):
        direction = np.asarray(metric.unwhiten(basis[step]))
        image = np.asarray(metric.whiten_covector(_products(target, points, direction)))
        image = np.where(np.isfinite(image), image, 0.0)
        for _ in range(2):  # twice is enough to stay orthogonal (Parlett 1998, section 6.9)
            for index, vector in enumerate(basis):
                inner = np.sum(vector * image, axis=1)
                projected[:, index, step] += inner
                image = image - inner[:, None] * vector
        size = np.linalg.norm(image, axis=1, keepdims=True)
        basis.append(np.divide(image, size, out=np.zeros_like(image), where=size > 1e-12))
    symmetric = np.triu(projected) + np.swapaxes(np.triu(projected, 1), 1, 2)
    return indefinite_share(np.linalg.eigvalsh(symmetric)[:, 0]), 2 * len(points) * steps


def _products(target: AbstractTarget, points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Hessian-vector products of the potential: two gradients each, either way.

    By differences in double precision: gradients are compiled already, and compiling products takes as long as all else that a small model's fit does.
    """
    if isinstance(target, HostTarget) or jax.dtypes.canonicalize_dtype(float) != np.float64:
        return hessian_products(target, points, direction)
    up, down = np.split(
        evaluate(target, np.concatenate([points + STEP * direction, points - STEP * direction])).score, 2
    )
    return (down - up) / (2.0 * STEP)
