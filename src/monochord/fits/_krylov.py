"""Directions that a Gaussian has missed, by products with the target's Hessian at its mean.

Scores at draws are one application of the Hessian to random vectors; a block Krylov space holds its powers. A block as wide
as an outlier is multiple finds all of it, and where the whitened spectrum is a few clusters, a power for each cluster is
all that is needed (Halko, Martinsson & Tropp 2011, section 4.5; Golub & Van Loan 2013, section 10.3.6).
"""

import numpy as np
from jaxtyping import Float

from monochord.fits._match import kept, left_scale, parts, stretched
from monochord.gaussian import Gaussian
from monochord.metrics import LowRankMetric
from monochord.targets import AbstractTarget, Evaluations, hessian_products

BLOCK = 16  # two groups of lanes; an outlier of higher multiplicity takes more than one call
NUM_BLOCKS = 4  # powers 0 to 3: one for each of fast, bulk and slow, and one as the bulk is no point
STRENGTH = 1e3  # of the match of the scale: its noise is small where outliers are known
OUTLIER = 1.05  # a frequency² within this factor of the bulk is left as it is; so κ ends near its square where no more is wrong


def enriched(
    rng: np.random.Generator, target: AbstractTarget, gaussian: Gaussian, points: Evaluations, rank: int
) -> tuple[Gaussian | None, int, list[int]]:
    """`(Gaussian, outliers found, batches of products)`: a low-rank one, corrected along the outliers of LᵀHL.

    None where rounding or overflow leave no positive definite answer.

    `points`, draws of `gaussian`, give the scale of what its directions leave: they know these directions already, so no
    outlier drowns the rest. The bulk of the spectrum, its median by the weights in a random start, is moved to 1; then
    Rayleigh–Ritz values θ beyond `OUTLIER` become variances 1/θ. Values that are not positive count as not seen. The mean
    is that of a Newton step x̄ + Σḡ. O(dim · rank) memory.
    """
    scale, basis, eigenvalues = parts(gaussian.metric)
    if basis.shape[1]:
        try:
            scale = left_scale(gaussian, points, STRENGTH)
        except np.linalg.LinAlgError:
            return None, 0, []
    point, roots = np.asarray(gaussian.mean)[None], np.sqrt(eigenvalues)

    def times(rows):
        direction = scale * stretched(rows, basis, roots)
        out = hessian_products(target, np.repeat(point, len(rows), axis=0), direction)
        return stretched(scale * np.where(np.isfinite(out), out, 0.0), basis, roots)

    if gaussian.dim <= BLOCK * NUM_BLOCKS:  # as many products as dimensions are the Hessian itself
        rows = np.eye(gaussian.dim)
        images, batches, first = times(rows), [gaussian.dim], gaussian.dim
    else:
        rows, images = block_krylov(rng, times, BLOCK, BLOCK * NUM_BLOCKS, gaussian.dim)
        batches, first = [BLOCK] * (len(rows) // BLOCK), BLOCK
    try:
        metric, found = _corrected(scale, basis, roots, rows, images, first, rank)
    except (np.linalg.LinAlgError, ValueError):
        return None, 0, batches
    mean = points.x.mean(0) + np.asarray(metric.matvec(points.score.mean(0)))
    return Gaussian(mean, metric), found, batches


def _corrected(scale, basis, roots, rows, images, first: int, rank: int) -> tuple[LowRankMetric, int]:
    """S(I + U(R² − I)Uᵀ)S without the outliers in the span of `rows`, and their number; the first `first` are the start."""
    inner = rows @ images.T
    if not np.all(np.isfinite(inner)):
        raise np.linalg.LinAlgError("products beyond the range of doubles")
    ritz, vectors = np.linalg.eigh((inner + inner.T) / 2)
    usable = ritz > 1e-12 * np.max(np.abs(ritz))
    if not np.any(usable):
        return LowRankMetric(scale, basis, roots**2), 0
    bulk = _weighted_median(ritz[usable], np.sum(vectors[:first, usable] ** 2, axis=0))
    outlying = usable & (np.abs(np.log(np.where(usable, ritz, 1.0) / bulk)) > np.log(OUTLIER))
    found = rows.T @ vectors[:, outlying]  # (dim, count), orthonormal
    # Σ = S R (I + V(1/θ − 1)Vᵀ) R S / bulk with R the root of the present core: the identity outside span(U, V)
    span, _ = np.linalg.qr(np.concatenate([basis, found], axis=1))
    half = np.eye(span.shape[1]) + (span.T @ basis * (roots - 1.0)) @ (span.T @ basis).T
    along = span.T @ found
    core = half @ (np.eye(len(half)) + (along * (bulk / ritz[outlying] - 1.0)) @ along.T) @ half
    values, directions = np.linalg.eigh((core + core.T) / 2)
    keep = kept(values, rank)
    keep = keep[np.abs(np.log(values[keep])) > np.log(OUTLIER)]
    return LowRankMetric(scale / np.sqrt(bulk), span @ directions[:, keep], values[keep]), int(np.sum(outlying))


def block_krylov(rng: np.random.Generator, times, block: int, num_products: int, dim: int):
    """Orthonormal rows of a block Krylov space of `times` (symmetric, on rows) and their products, `block` at once."""
    basis, images = np.zeros((0, dim)), np.zeros((0, dim))
    rows = rng.standard_normal((block, dim))
    while len(basis) < min(num_products, dim - block):
        for _ in range(2):  # once more, as rounding leaves a part along the earlier vectors
            rows = np.linalg.qr((rows - (rows @ basis.T) @ basis).T)[0].T
        image = times(rows)
        basis, images, rows = np.concatenate([basis, rows]), np.concatenate([images, image]), image
    return basis, images


def _weighted_median(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """The lowest of ascending `values` up to which half of the weight lies."""
    share = np.cumsum(weights)
    return float(values[np.searchsorted(share, 0.5 * share[-1])])
