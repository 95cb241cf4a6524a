"""The score match: the metric and mean in a family that agree best with points, scores and a prior.

Batch and match (Cai, Modi, Pillaud-Vivien, Margossian, Gower, Blei, Saul 2024, arXiv 2402.14758,
section 3): minimise over q = N(μ, Σ) the weighted score divergence of a batch plus 2/λ KL(q₀ ‖ q).
With C, Γ, x̄, ḡ the covariances and means of points and scores,

    U = λΓ + λ/(1+λ) ḡḡᵀ,   V = Σ₀ + λC + λ/(1+λ) (μ₀ − x̄)(μ₀ − x̄)ᵀ,
    Σ U Σ + Σ = V,           μ = (μ₀ + λ(Σḡ + x̄)) / (1+λ).

On a Gaussian target with more than dim points and λ → ∞ the answer is exact.
"""

from functools import singledispatch

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import (
    AbstractFamily,
    Dense,
    DenseMetric,
    Diagonal,
    DiagonalMetric,
    LowRank,
    LowRankMetric,
)
from monochord.targets import Evaluations

SPAN_POINTS = 512


@singledispatch
def match(family: AbstractFamily, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    """The member of `family` that matches `points` with weight λ = `strength` against `prior`.

    **Raises** `numpy.linalg.LinAlgError` when rounding leaves no positive definite answer.
    """
    raise TypeError(
        f"no score match is known for the family {type(family).__name__}. Register one with `match.register`."
    )


@match.register
def _(family: Diagonal, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    metric = _match_diagonal(prior, points, strength)
    drift = metric.matvec(points.score.mean(0)) + points.x.mean(0)
    return Gaussian((prior.mean + strength * drift) / (1.0 + strength), metric)


@match.register
def _(family: Dense, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    metric = prior.metric
    z = metric.whiten(points.x - prior.mean)  # in the prior's own coordinates Σ₀ = I and μ₀ = 0
    score = metric.whiten_covector(points.score)
    mean, inner = _match_whitened(z, score, strength)
    covariance = metric.unwhiten(metric.unwhiten(inner).T)
    return Gaussian(prior.mean + metric.unwhiten(mean), DenseMetric.from_covariance((covariance + covariance.T) / 2))


@match.register
def _(family: LowRank, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    """Diagonal match first; then the full match within the span of the batch, of which the `rank`
    directions furthest from 1 are kept. Outside that span the match is the identity, so nothing is lost.
    At most the latest `SPAN_POINTS` points are used, as the work grows with their number squared.
    """
    points = points.take(slice(-SPAN_POINTS, None))
    diagonal = _match_diagonal(prior, points, strength)
    z = diagonal.whiten(points.x - prior.mean)
    score = diagonal.whiten_covector(points.score)
    basis = _orthonormal_span(np.concatenate([z, score]))
    mean, inner = _match_whitened(z @ basis, score @ basis, strength)
    eigenvalues, vectors = np.linalg.eigh(inner)
    keep = np.argsort(-np.abs(np.log(eigenvalues)))[: min(family.rank, len(eigenvalues))]
    metric = LowRankMetric(diagonal.scale, basis @ vectors[:, keep], eigenvalues[keep])
    return Gaussian(prior.mean + diagonal.unwhiten(basis @ mean), metric)


def _match_whitened(z, score, strength):
    """Mean and covariance of the match where the prior is N(0, I)."""
    count, dim = z.shape
    z_mean, score_mean = z.mean(0), score.mean(0)
    shrunk = strength / (1.0 + strength)
    centred, centred_score = z - z_mean, score - score_mean
    v = np.eye(dim) + strength * (centred.T @ centred) / count + shrunk * np.outer(z_mean, z_mean)
    root = np.linalg.cholesky(v)
    # rows of `scaled` span U in the coordinates where V = I; W = scaledᵀ scaled
    rows = [centred_score * np.sqrt(strength / count), np.sqrt(shrunk) * score_mean[None, :]]
    scaled = np.concatenate(rows) @ root
    eigenvalues, vectors = np.linalg.eigh(scaled.T @ scaled)
    factors = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * np.maximum(eigenvalues, 0.0)))
    half = root @ (vectors * np.sqrt(factors))
    covariance = half @ half.T
    mean = strength * (covariance @ score_mean + z_mean) / (1.0 + strength)
    return mean, covariance


def _match_diagonal(prior: Gaussian, points: Evaluations, strength: float) -> DiagonalMetric:
    shrunk = strength / (1.0 + strength)
    u = strength * points.score.var(0) + shrunk * points.score.mean(0) ** 2
    v = np.asarray(prior.metric.diagonal()) + strength * points.x.var(0) + shrunk * (prior.mean - points.x.mean(0)) ** 2
    variance = 2.0 * v / (1.0 + np.sqrt(1.0 + 4.0 * u * v))
    if not np.all(np.isfinite(variance) & (variance > 0)):
        raise np.linalg.LinAlgError("the diagonal score match left no positive variance")
    return DiagonalMetric(np.sqrt(variance))


def _orthonormal_span(rows):
    """Orthonormal columns that span the rows, directions below rounding dropped."""
    q, r = np.linalg.qr(rows.T)
    size = np.abs(np.diag(r))
    return q[:, size > 1e-10 * size.max()]
