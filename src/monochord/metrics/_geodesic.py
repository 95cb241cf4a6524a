"""Points on the geodesic between two metrics: shrinkage that no choice of units can change."""

import numpy as np

from monochord.metrics._base import AbstractMetric
from monochord.metrics._dense import DenseMetric
from monochord.metrics._diagonal import DiagonalMetric


def geodesic(start: AbstractMetric, end: AbstractMetric, share: float) -> AbstractMetric | None:
    """Σ₀ #ₜ Σ₁ = L (L⁻¹ Σ₁ L⁻ᵀ)ᵗ Lᵀ with Σ₀ = L Lᵀ and t = `share`: 0 gives `start`, 1 `end`.

    The shortest path between positive definite matrices in the affine-invariant metric (Bhatia 2007, chapter 6), along
    which the cost functional with ν⁴ = E tr((M⁻¹H)²) is convex. Diagonal between diagonals, dense where one of the two
    is; None for others, as low rank is not closed under it.
    """
    if isinstance(start, DiagonalMetric) and isinstance(end, DiagonalMetric):
        return DiagonalMetric(np.asarray(start.scale) ** (1.0 - share) * np.asarray(end.scale) ** share)
    if not any(isinstance(metric, DenseMetric) for metric in (start, end)):
        return None
    half = np.asarray(start.whiten(np.asarray(end.dense())))
    inner = np.asarray(start.whiten(half.T))
    eigenvalues, vectors = np.linalg.eigh((inner + inner.T) / 2)
    root = np.asarray(start.unwhiten((vectors * np.maximum(eigenvalues, 1e-300) ** (0.5 * share)).T)).T
    covariance = root @ root.T
    return DenseMetric.from_covariance((covariance + covariance.T) / 2)
