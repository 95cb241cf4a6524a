"""Gaussians from curvature: of an L-BFGS path, and as diagonal plus low rank in any family."""

import numpy as np

from monochord.fits import _lbfgs
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, DenseMetric, Diagonal, DiagonalMetric, LowRank, LowRankMetric

RELATIVE_GRADIENT = 1e7 * 2.0**-52  # Stan's `tol_rel_grad`: gᵀH⁻¹g over the larger of |U| and 1
RELATIVE_GAIN = 1e4 * 2.0**-52  # Stan's `tol_rel_obj`: the last decrease of U over the larger of |U| and 1
MAX_FACTOR_STEPS = 100  # of the alternation for a diagonal plus low rank; it converges linearly
MIN_SHARE = 1e-6  # of a (Σ⁻¹)_ii that the diagonal explains; a share of zero leaves no scale (Heywood cases)
FACTOR_TOLERANCE = 1e-12  # nats that a step of it must gain: rounding is about as large


def laplace_like(family: AbstractFamily, search: _lbfgs.Search) -> Gaussian:
    """Gaussian at a search's end from its inverse Hessian, dense where the family is."""
    if not search.pairs:
        return Gaussian(search.x, DiagonalMetric(np.full(len(search.x), 1e-2)))
    base, wide, core = _lbfgs.inverse_hessian_parts(search.pairs)
    if isinstance(family, Dense):
        covariance = base * np.eye(len(search.x)) + wide @ core @ wide.T
        try:
            return Gaussian(search.x, DenseMetric.from_covariance((covariance + covariance.T) / 2))
        except ValueError:
            pass
    variance = base + np.sum((wide @ core) * wide, axis=1)
    return Gaussian(search.x, DiagonalMetric(np.sqrt(np.where(variance > 0, variance, base))))


def is_converged(search: _lbfgs.Search) -> bool:
    """True at a mode, by the rules of Stan's optimiser and Pathfinder (reference manual, optimisation chapter)."""
    size = max(abs(search.potential), 1.0)
    gained = search.recent[-2] - search.potential if len(search.recent) > 1 else np.inf
    return bool(2.0 * search.decrement < RELATIVE_GRADIENT * size or 0.0 <= gained < RELATIVE_GAIN * size)


def next_diagonal(alpha, s, y) -> np.ndarray:
    """Diagonal estimate of the inverse Hessian after the step `s` with gradient change `y`, all shaped (dim,).

    1/α⁺ = a/(bα) + y²/b − a s²/(b c α²) with a = yᵀαy, b = yᵀs, c = sᵀα⁻¹s: the diagonal of the BFGS
    update of diag(1/α) scaled by a/b (Gilbert & Lemaréchal 1989, Mathematical Programming 45, eq. 4.9).
    """
    a, b, c = np.sum(alpha * y**2), s @ y, np.sum(s**2 / alpha)
    with np.errstate(all="ignore"):
        updated = b / (a / alpha + y**2 - (a / c) * (s / alpha) ** 2)
    usable = np.isfinite(updated) & (updated > 0)  # rounding where s lies along one coordinate
    return np.where(usable, updated, alpha)


def path_diagonal(pairs) -> np.ndarray:
    """`next_diagonal` over all pairs of a search, from the scalar sᵀy/yᵀy of the first."""
    s, y = pairs[0]
    alpha = np.full(len(s), (s @ y) / (y @ y))
    for s, y in pairs:
        alpha = next_diagonal(alpha, s, y)
    return alpha


def path_metric(pairs, alpha) -> LowRankMetric:
    """The L-BFGS inverse Hessian with base diag(α) as a metric of rank 2·len(pairs) at most.

    H⁻¹ = diag(α) + W core Wᵀ with W = (S, diag(α)Y) (Byrd, Nocedal & Schnabel 1994, eq. 3.1). A thin QR of
    diag(α)^-½ W brings it to the multiplicative form without error.

    **Raises** `numpy.linalg.LinAlgError` or `ValueError` when rounding leaves it not positive definite.
    """
    root = np.sqrt(alpha)
    s = np.stack([pair[0] for pair in pairs], axis=1) / root[:, None]
    y = np.stack([pair[1] for pair in pairs], axis=1) * root[:, None]
    inner = s.T @ y
    upper_inverse = np.linalg.inv(np.triu(inner))
    corner = upper_inverse.T @ (np.diag(np.diag(inner)) + y.T @ y) @ upper_inverse
    core = np.block([[corner, -upper_inverse.T], [-upper_inverse, np.zeros_like(inner)]])
    basis, triangle = np.linalg.qr(np.concatenate([s, y], axis=1))
    inverse = np.eye(basis.shape[1]) + triangle @ core @ triangle.T
    eigenvalues, vectors = np.linalg.eigh((inverse + inverse.T) / 2)
    return LowRankMetric(root, basis @ vectors, eigenvalues)


def restricted(family: AbstractFamily, metric: LowRankMetric):
    """`metric` in a structured family: its marginal scales, or its `rank` eigenvalues furthest from 1.

    `Dense` and others keep all directions; O(dim · rank) memory.
    """
    if isinstance(family, Diagonal):
        return DiagonalMetric(np.sqrt(metric.diagonal()))
    if isinstance(family, LowRank) and metric.rank > family.rank:
        keep = np.argsort(-np.abs(np.log(np.asarray(metric.eigenvalues))), kind="stable")[: family.rank]
        return LowRankMetric(metric.scale, metric.basis[:, keep], metric.eigenvalues[keep])
    return metric


def lifted(hessian) -> tuple[LowRankMetric, int]:
    """`(H⁻¹ as a metric, number of eigenvalues mended)` for a symmetric H, shape (dim, dim).

    H is scaled to a diagonal of ±1 first, so that units do not decide what is small. A negative eigenvalue
    counts by its size, one within rounding of zero is lifted to dim · 2⁻⁵² of the largest.
    """
    size = np.abs(np.diag(hessian))
    scale = 1.0 / np.sqrt(np.where(size > 0, size, 1.0))
    eigenvalues, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
    floor = max(len(size) * 2.0**-52 * float(np.max(np.abs(eigenvalues))), 1e-300)
    mended = int(np.sum(eigenvalues < floor))
    return LowRankMetric(scale, vectors, 1.0 / np.maximum(np.abs(eigenvalues), floor)), mended


def structured(family: AbstractFamily, metric: LowRankMetric):
    """The member of a structured `family` with least KL to N(0, `metric`), near enough: O(dim³) work.

    Given its scale S, the least KL keeps the eigenvectors of S Σ⁻¹ S whose λ − log λ − 1 is largest; a
    stationary S has the diagonal of Σ⁻¹ (Ong, Nott & Smith 2018, for Gaussians). The two alternate as long as
    the KL falls. Without directions S is 1/√(Σ⁻¹)_ii, that of mean-field variational inference.
    """
    rank = family.rank if isinstance(family, LowRank) else 0
    precision = np.asarray(metric.precision_diagonal())
    scale = precision**-0.5
    if rank == 0:
        return DiagonalMetric(scale)
    dense = np.asarray(metric.solve(np.eye(len(scale))))
    best, least = None, np.inf
    for _ in range(MAX_FACTOR_STEPS):
        eigenvalues, vectors = np.linalg.eigh(dense * np.outer(scale, scale))
        eigenvalues = np.maximum(eigenvalues, 1e-300)
        order = np.argsort(np.log(eigenvalues) - eigenvalues, kind="stable")
        keep, left = order[:rank], eigenvalues[order[rank:]]
        kl = 0.5 * float(np.sum(left - np.log(left) - 1.0))
        if not kl < least - FACTOR_TOLERANCE:
            break
        best, least = LowRankMetric(scale, vectors[:, keep], 1.0 / eigenvalues[keep]), kl
        share = 1.0 + (vectors[:, keep] ** 2) @ (eigenvalues[keep] - 1.0)
        scale = np.sqrt(np.maximum(share, MIN_SHARE) / precision)
    assert best is not None  # the first KL is below infinity
    return best
