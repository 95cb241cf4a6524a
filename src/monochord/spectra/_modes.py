"""`Modes`: a spectrum as squared frequencies with weights, whole or seen through Lanczos."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Modes:
    """Squared frequencies (eigenvalues of LᵀHL, ascending), how many modes each stands for, and their errors.

    From a dense solve every weight is 1 and `errors` is None. From Lanczos the outermost ones are single modes and
    the others stand for the bulk between them; `errors` bound the distance of each value to an eigenvalue, as a share
    of the largest. `low` and `high` are the eigenvectors behind the two ends, in whitened coordinates.
    """

    squared: Float[np.ndarray, " nodes"]
    weights: Float[np.ndarray, " nodes"]
    low: Float[np.ndarray, " dim"] | None = None
    high: Float[np.ndarray, " dim"] | None = None
    errors: Float[np.ndarray, " nodes"] | None = None

    @property
    def error_low(self) -> float:
        """Bound on the distance of the lowest value to an eigenvalue, as a share of the largest."""
        return 0.0 if self.errors is None else float(self.errors[0])

    @property
    def error_high(self) -> float:
        """The same for the highest value."""
        return 0.0 if self.errors is None else float(self.errors[-1])

    @property
    def is_definite(self) -> bool:
        """True where no squared frequency is zero or negative."""
        return bool(self.squared[0] > 0)

    def frequencies(self) -> Float[np.ndarray, " nodes"]:
        """ω, of a definite spectrum."""
        return np.sqrt(self.squared)

    def kappa(self) -> float:
        """κ = ω²max / ω²min; infinite where a squared frequency is not positive."""
        return float(self.squared[-1] / self.squared[0]) if self.is_definite else math.inf

    def kappa_langmore(self) -> float:
        """κ_L = (Σ (ωᵢ/ωmin)⁴)^¼."""
        if not self.is_definite:
            return math.inf
        return float((self.weights @ (self.squared / self.squared[0]) ** 2) ** 0.25)


def dense_modes(whitened: Float[np.ndarray, "dim dim"], with_vectors: bool = False) -> Modes:
    """Modes of a whitened Hessian LᵀHL by a dense eigen-solve."""
    if with_vectors:
        squared, vectors = np.linalg.eigh(whitened)
        return Modes(squared, np.ones(len(squared)), vectors[:, 0], vectors[:, -1])
    squared = np.linalg.eigvalsh(whitened)
    return Modes(squared, np.ones(len(squared)))
