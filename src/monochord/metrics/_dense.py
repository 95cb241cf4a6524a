"""`DenseMetric`: a full covariance, factored once in float64 on the host."""

from typing import final

import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.metrics._base import AbstractFamily, AbstractMetric


@final
class Dense(AbstractFamily):
    """All positive definite metrics."""

    @property
    def name(self) -> str:
        return "dense"


@final
class DenseMetric(AbstractMetric):
    """Σ = L Lᵀ with `factor` = L lower triangular and `inverse_factor` = L⁻¹.

    Both factors are kept so that every operation is one matrix product, the same on NumPy and JAX
    arrays. Build it with `DenseMetric.from_covariance`.
    """

    factor: Float[Array, "dim dim"]
    inverse_factor: Float[Array, "dim dim"]

    @classmethod
    def from_covariance(cls, covariance: Float[Array, "dim dim"]) -> "DenseMetric":
        """Factor Σ (posterior covariance, unconstrained space) in float64.

        **Raises** `ValueError` when Σ is not square, not symmetric to 1e-8 of its scales, or not
        positive definite.
        """
        covariance = np.asarray(covariance, dtype=np.float64)
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise ValueError(
                f"`DenseMetric.from_covariance` got shape {covariance.shape}. A covariance is square. "
                "Pass (dim, dim), or use `DiagonalMetric(scale)` for standard deviations."
            )
        scale = np.sqrt(np.abs(np.diag(covariance)))
        if not np.all(np.isfinite(covariance)) or not np.all(scale > 0):
            raise ValueError(
                "`DenseMetric.from_covariance` got a non-finite entry or a variance of zero. "
                "Every coordinate needs a finite, positive variance. Check the draws it came from."
            )
        correlation = covariance / np.outer(scale, scale)
        asymmetry = np.max(np.abs(correlation - correlation.T))
        if asymmetry > 1e-8:
            raise ValueError(
                f"`DenseMetric.from_covariance` got a matrix that is asymmetric by {asymmetry:.1e} of its "
                "scales. A covariance equals its transpose. Pass (S + S.T) / 2 if rounding caused it."
            )
        try:
            factor = np.linalg.cholesky((correlation + correlation.T) / 2)
        except np.linalg.LinAlgError:
            smallest = float(np.linalg.eigvalsh((correlation + correlation.T) / 2)[0])
            raise ValueError(
                "`DenseMetric.from_covariance` got a matrix that is not positive definite (smallest "
                f"eigenvalue of its correlation {smallest:.2e}). The covariance of n draws has rank n - 1 at "
                "most. Use more draws than coordinates, or shrink it towards its diagonal."
            ) from None
        # in place of a triangular solve, which starts threads even for 4 x 4
        from scipy.linalg.lapack import dtrtri  # pyright: ignore[reportAttributeAccessIssue]

        inverse, _ = dtrtri(factor, lower=1)  # the diagonal is positive: it cannot fail
        return cls(factor * scale[:, None], inverse / scale[None, :])

    @property
    def dim(self) -> int:
        return self.factor.shape[0]

    def whiten(self, x):
        return x @ self.inverse_factor.T

    def unwhiten(self, z):
        return z @ self.factor.T

    def whiten_covector(self, g):
        return g @ self.factor

    def unwhiten_covector(self, w):
        return w @ self.inverse_factor

    def log_det(self):
        diagonal = self.factor.diagonal()
        return 2.0 * _log(diagonal).sum()

    def diagonal(self):
        return (self.factor**2).sum(axis=1)

    def precision_diagonal(self):
        return (self.inverse_factor**2).sum(axis=0)

    def dense(self):
        return self.factor @ self.factor.T


def _log(array):
    if isinstance(array, np.ndarray):
        return np.log(array)
    import jax.numpy as jnp

    return jnp.log(array)
