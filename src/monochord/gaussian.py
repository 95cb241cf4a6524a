"""`Gaussian`: a mean and a metric, the result of every fit."""

import math
from typing import final

import equinox as eqx
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.metrics import AbstractMetric


@final
class Gaussian(eqx.Module):
    """N(mean, Σ) on unconstrained space, Σ given as a metric."""

    mean: Float[Array, " dim"]
    metric: AbstractMetric

    def __check_init__(self):
        if hasattr(self.mean, "shape") and self.mean.shape != (self.metric.dim,):
            raise ValueError(
                f"`Gaussian` has a mean of shape {tuple(self.mean.shape)} and a metric of dim {self.metric.dim}. "
                "Both describe the same unconstrained coordinates. Pass a mean with one entry a coordinate."
            )

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self.metric.dim

    def place(self, z: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Points mean + Lz of unconstrained space for whitened `z`."""
        return self.mean + self.metric.unwhiten(z)

    def sample(self, rng: np.random.Generator, num_draws: int) -> Float[np.ndarray, "draws dim"]:
        """Independent draws, made on the host."""
        return np.asarray(self.place(rng.standard_normal((num_draws, self.dim))))

    def log_prob(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch"] | float:
        """Normalised log density."""
        z = self.metric.whiten(x - self.mean)
        return -0.5 * ((z**2).sum(-1) + self.metric.log_det() + self.dim * math.log(2 * math.pi))

    def score(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Gradient of `log_prob`: −Σ⁻¹(x − mean)."""
        return -self.metric.solve(x - self.mean)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return float(0.5 * (self.metric.log_det() + self.dim * (1.0 + math.log(2 * math.pi))))

    def kl(self, other: "Gaussian") -> float:
        """KL(self ‖ other) in nats, by closed form; O(dim²) work beyond the metrics' own."""
        trace = 0.0
        for start in range(0, self.dim, 256):
            rows = np.zeros((min(256, self.dim - start), self.dim))
            rows[np.arange(len(rows)), start + np.arange(len(rows))] = 1.0
            trace += float(np.sum(np.asarray(other.metric.whiten(self.metric.unwhiten(rows))) ** 2))
        shift = float(np.sum(np.asarray(other.metric.whiten(self.mean - other.mean)) ** 2))
        log_ratio = float(other.metric.log_det() - self.metric.log_det())
        return 0.5 * (trace + shift - self.dim + log_ratio)
