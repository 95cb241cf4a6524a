"""`LowRankMetric`: a diagonal and a few corrected directions, slow or fast, O(dim · rank) memory."""

from typing import final

import equinox as eqx
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.metrics._base import AbstractFamily, AbstractMetric
from monochord.metrics._check import check_positive, check_vector, is_traced


@final
class LowRank(AbstractFamily):
    """All metrics S (I + U(Λ − I)Uᵀ) S with at most `rank` directions."""

    rank: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        if self.rank < 1:
            raise ValueError(
                f"`LowRank(rank={self.rank})` corrects no direction. Pass a rank of 1 or more, or use `Diagonal()`."
            )

    @property
    def name(self) -> str:
        return "low_rank"


@final
class LowRankMetric(AbstractMetric):
    """Σ = S (I + U(Λ − I)Uᵀ) S with S = diag(scale), UᵀU = I.

    `scale` has the unit of each unconstrained coordinate; `eigenvalues` have none: above 1 they
    lengthen a slow direction, below 1 they shorten a fast one. Multiplicative, so one form removes
    outliers at both ends of the spectrum.

    **Raises** `ValueError` for shapes that disagree, more columns than rows, columns that are not
    orthonormal to 1e-6, and eigenvalues or scales that are not positive.
    """

    scale: Float[Array, " dim"]
    basis: Float[Array, "dim rank"]
    eigenvalues: Float[Array, " rank"]

    def __init__(self, scale, basis, eigenvalues):
        self.scale = check_positive("LowRankMetric(scale=...)", check_vector(scale, "scale"))
        self.basis = basis if hasattr(basis, "shape") else np.asarray(basis, dtype=np.float64)
        self.eigenvalues = check_positive("LowRankMetric(eigenvalues=...)", check_vector(eigenvalues, "eigenvalues"))
        _check_basis(self.scale, self.basis, self.eigenvalues)

    @property
    def dim(self) -> int:
        return self.scale.shape[0]

    @property
    def rank(self) -> int:
        """Number of corrected directions."""
        return self.basis.shape[1]

    def whiten(self, x):
        return self._stretch(x / self.scale, self.eigenvalues**-0.5)

    def unwhiten(self, z):
        return self._stretch(z, self.eigenvalues**0.5) * self.scale

    def whiten_covector(self, g):
        return self._stretch(g * self.scale, self.eigenvalues**0.5)

    def unwhiten_covector(self, w):
        return self._stretch(w, self.eigenvalues**-0.5) / self.scale

    def log_det(self):
        if isinstance(self.scale, np.ndarray):
            return 2.0 * np.log(self.scale).sum() + np.log(self.eigenvalues).sum()
        import jax.numpy as jnp

        return 2.0 * jnp.log(self.scale).sum() + jnp.log(self.eigenvalues).sum()

    def diagonal(self):
        return self.scale**2 * (1.0 + (self.basis**2) @ (self.eigenvalues - 1.0))

    def precision_diagonal(self):
        return (1.0 + (self.basis**2) @ (1.0 / self.eigenvalues - 1.0)) / self.scale**2

    def dense(self):
        stretched = (self.basis * (self.eigenvalues - 1.0)) @ self.basis.T
        identity = np.eye(self.dim)
        return self.scale[:, None] * (identity + stretched) * self.scale[None, :]

    def _stretch(self, y, factors):
        return y + ((y @ self.basis) * (factors - 1.0)) @ self.basis.T


def _check_basis(scale, basis, eigenvalues):
    if basis.ndim != 2 or basis.shape != (scale.shape[0], eigenvalues.shape[0]):
        raise ValueError(
            f"`LowRankMetric(basis=...)` has shape {tuple(basis.shape)}, but `scale` has {scale.shape[0]} entries "
            f"and `eigenvalues` {eigenvalues.shape[0]}. One column of length dim belongs to each eigenvalue. "
            "Pass a basis of shape (dim, rank)."
        )
    dim, rank = basis.shape
    if rank > dim:
        raise ValueError(
            f"`LowRankMetric(basis=...)` has {rank} columns but only {dim} rows. At most `dim` orthonormal "
            f"directions exist in `dim` dimensions. Pass at most {dim} columns, or use `DenseMetric`."
        )
    if not is_traced(basis):
        gram = np.asarray(basis.T @ basis)
        error = float(np.max(np.abs(gram - np.eye(rank)))) if rank else 0.0
        if error > 1e-6:  # float32 bases of a few thousand rows reach 1e-7
            raise ValueError(
                f"`LowRankMetric(basis=...)` is not orthonormal: UᵀU differs from I by {error:.1e}. The inverse "
                "and the log-determinant rest on UᵀU = I. Orthonormalise it, for example with `numpy.linalg.qr`."
            )
