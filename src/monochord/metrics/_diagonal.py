"""`DiagonalMetric`: independent scales, O(dim) memory."""

from typing import final

import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.metrics._base import AbstractFamily, AbstractMetric
from monochord.metrics._check import check_positive, check_vector


@final
class Diagonal(AbstractFamily):
    """All diagonal metrics."""

    @property
    def name(self) -> str:
        return "diagonal"


@final
class DiagonalMetric(AbstractMetric):
    """Σ = diag(scale²). `scale` has the unit of each unconstrained coordinate (a standard deviation)."""

    scale: Float[Array, " dim"]

    def __init__(self, scale):
        self.scale = check_positive("DiagonalMetric(scale=...)", check_vector(scale, "scale"))

    @property
    def dim(self) -> int:
        return self.scale.shape[0]

    def whiten(self, x):
        return x / self.scale

    def unwhiten(self, z):
        return z * self.scale

    def whiten_covector(self, g):
        return g * self.scale

    def unwhiten_covector(self, w):
        return w / self.scale

    def log_det(self):
        return 2.0 * _namespace(self.scale).log(self.scale).sum()

    def diagonal(self):
        return self.scale**2

    def precision_diagonal(self):
        return 1.0 / self.scale**2

    def dense(self):
        return _namespace(self.scale).diag(self.scale**2)


def _namespace(array):
    if isinstance(array, np.ndarray):
        return np
    import jax.numpy as jnp

    return jnp


def identity_metric(dim: int) -> DiagonalMetric:
    """Σ = I, the start of a sampler that knows nothing."""
    return DiagonalMetric(np.ones(dim))
