"""Frequencies of a Hamiltonian sampler: square roots of the eigenvalues of Σ times the Hessian."""

import math

import numpy as np
from jaxtyping import Float

from monochord.metrics import AbstractMetric

DENSE_LIMIT = 1000  # above it a dense eigen-solve takes more than a second


def whitened_hessian(metric: AbstractMetric, hessian: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, "dim dim"]:
    """LᵀHL, where Σ = L Lᵀ."""
    half = np.asarray(metric.whiten_covector(np.asarray(hessian, dtype=np.float64)))
    whitened = np.asarray(metric.whiten_covector(half.T))
    return (whitened + whitened.T) / 2


def squared_frequencies(metric: AbstractMetric, hessian: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, " dim"]:
    """Eigenvalues of Lᵀ H L, ascending, where Σ = L Lᵀ; negative ones where H is indefinite."""
    return np.linalg.eigvalsh(whitened_hessian(metric, hessian))


def frequencies_against(metric: AbstractMetric, fitted: AbstractMetric) -> Float[np.ndarray, " dim"]:
    """Frequencies under `metric` of the Gaussian whose covariance is `fitted`.

    All ones where the two are the same object. Above `DENSE_LIMIT` coordinates only the diagonal of the
    fitted covariance is compared, which a caller must treat as a first guess.
    """
    if metric is fitted:
        return np.ones(metric.dim)
    if metric.dim > DENSE_LIMIT:
        return np.sqrt(np.asarray(metric.diagonal()) / np.asarray(fitted.diagonal()))
    precision = np.asarray(fitted.solve(np.eye(metric.dim)))
    return np.sqrt(np.maximum(squared_frequencies(metric, precision), 1e-300))


def condition_number(squared: Float[np.ndarray, " dim"]) -> float:
    """κ = ω²max / ω²min; infinite where a squared frequency is not positive."""
    low, high = float(np.min(squared)), float(np.max(squared))
    return high / low if low > 0 else math.inf


def langmore_number(squared: Float[np.ndarray, " dim"]) -> float:
    """κ_L = (Σ (ωᵢ/ωmin)⁴)^¼ (Langmore et al. 2019), at least dim^¼, reached when all frequencies agree."""
    low = float(np.min(squared))
    if low <= 0:
        return math.inf
    return float(np.sum((squared / low) ** 2) ** 0.25)
