"""`AbstractMetric`: what every metric is and the algebra it must obey."""

import abc

import equinox as eqx
from jaxtyping import Float

from monochord.arrays import Array


class AbstractMetric(eqx.Module):
    """A posterior covariance Σ = L Lᵀ as an operator (the inverse of HMC's kinetic-energy matrix).

    Vectors such as positions are whitened by L⁻¹ (``whiten``); covectors such as scores and
    momenta by Lᵀ (``whiten_covector``), so that ``score @ x`` is the same in both spaces.
    Every method maps the last axis and leaves leading axes alone, on NumPy or JAX arrays alike.
    """

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Number of unconstrained coordinates."""

    @abc.abstractmethod
    def whiten(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """L⁻¹x: unconstrained (centred) to whitened coordinates."""

    @abc.abstractmethod
    def unwhiten(self, z: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Lz: whitened to unconstrained (centred) coordinates."""

    @abc.abstractmethod
    def whiten_covector(self, g: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Lᵀg: a score or momentum in unconstrained coordinates to whitened ones."""

    @abc.abstractmethod
    def unwhiten_covector(self, w: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """L⁻ᵀw: a score or momentum in whitened coordinates to unconstrained ones."""

    @abc.abstractmethod
    def log_det(self) -> Float[Array, ""]:
        """Log det Σ."""

    @abc.abstractmethod
    def diagonal(self) -> Float[Array, " dim"]:
        """Marginal variances Σ_ii."""

    @abc.abstractmethod
    def precision_diagonal(self) -> Float[Array, " dim"]:
        """Diagonal of Σ⁻¹: reciprocal conditional variances."""

    @abc.abstractmethod
    def dense(self) -> Float[Array, "dim dim"]:
        """Σ as a matrix: dim² numbers, so for export and tests, not for loops."""

    def matvec(self, p: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Σp: the velocity of momentum p."""
        return self.unwhiten(self.whiten_covector(p))

    def solve(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Σ⁻¹x."""
        return self.unwhiten_covector(self.whiten(x))


class AbstractFamily(eqx.Module):
    """The specification of a set of metrics, such as `LowRank(8)`; algorithms work on any of them."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Short name used on the command line and in tables."""
