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

SPAN_POINTS, MIN_SPAN_POINTS = 512, 128
SPAN_NUMBERS = 1_500_000  # of coordinates in the points of a span: a QR of twice as many rows within half a second


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
    """Diagonal match of what the prior's directions leave; then the full match within the span of those directions and of
    the latest points, of which the `rank` directions furthest from 1 are kept. Outside that span the match is the
    identity, so nothing is lost. The work grows with the number of points squared, so very many dimensions use fewer.
    """
    latest = int(np.clip(SPAN_NUMBERS // prior.dim, MIN_SPAN_POINTS, SPAN_POINTS))
    return _match_low_rank(family, prior, points.take(slice(-latest, None)), strength, with_points=True)


def match_along(family: LowRank, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    """The low-rank match within the span of the prior's own directions: for points too few to show others without noise."""
    return _match_low_rank(family, prior, points, strength, with_points=False)


def _match_low_rank(
    family: LowRank, prior: Gaussian, points: Evaluations, strength: float, with_points: bool
) -> Gaussian:
    old_scale, directions, variances = parts(prior.metric)
    scale = left_scale(prior, points, strength)
    z, score = (points.x - prior.mean) / scale, points.score * scale
    if directions.shape[1]:
        directions = np.linalg.qr((old_scale / scale)[:, None] * directions)[0]
    basis = _orthonormal_span(np.concatenate([directions.T, z, score])) if with_points else directions
    old = basis.T @ directions
    core = np.eye(basis.shape[1]) + (old * (variances - 1.0)) @ old.T
    root = np.linalg.cholesky((core + core.T) / 2)
    mean, inner = _match_whitened(np.linalg.solve(root, (z @ basis).T).T, score @ basis @ root, strength)
    eigenvalues, vectors = np.linalg.eigh(root @ inner @ root.T)
    keep = kept(eigenvalues, family.rank)
    metric = LowRankMetric(scale, basis @ vectors[:, keep], eigenvalues[keep])
    shift = basis @ (root @ mean)
    if not with_points:  # what lies outside the span moves as well, by the diagonal match
        z, score = (stretched(rows.mean(0)[None], basis, np.zeros(basis.shape[1]))[0] for rows in (z, score))
        shift = shift + strength / (1.0 + strength) * (z + score)
    return Gaussian(prior.mean + scale * shift, metric)


def parts(metric) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(scale, basis, eigenvalues)` of a low-rank metric; any other counts as its marginal scales without directions."""
    if isinstance(metric, LowRankMetric):
        return np.asarray(metric.scale), np.asarray(metric.basis), np.asarray(metric.eigenvalues)
    scale = np.sqrt(np.asarray(metric.diagonal()))
    return scale, np.zeros((len(scale), 0)), np.ones(0)


def kept(eigenvalues: np.ndarray, rank: int) -> np.ndarray:
    """Indices of the at most `rank` eigenvalues that are furthest from 1 in logarithm."""
    return np.argsort(-np.abs(np.log(eigenvalues)))[: min(rank, len(eigenvalues))]


def stretched(rows: np.ndarray, basis: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(I + U(diag(factors) − I)Uᵀ) applied to each row."""
    return rows + ((rows @ basis) * (factors - 1.0)) @ basis.T


def left_scale(prior: Gaussian, points: Evaluations, strength: float) -> np.ndarray:
    """Scale of the diagonal match, of points and scores without their parts along the prior's directions.

    With those the diagonal would explain what they explain already. Without outliers a score is its own coordinate's
    alone, and a diagonal match has no noise (n · Var log σ² = 1 − 1/VIF, VIF the variance inflation of a coordinate).
    """
    scale, directions, _ = parts(prior.metric)
    if not directions.shape[1]:
        return np.asarray(_match_diagonal(prior, points, strength).scale)
    nothing = np.zeros(directions.shape[1])
    z, score = (
        stretched(rows, directions, nothing) for rows in ((points.x - prior.mean) / scale, points.score * scale)
    )
    left = np.maximum(1.0 - np.sum(directions**2, axis=1), 1e-6)  # of a unit variance
    return scale * np.sqrt(_matched_variance(left, left, np.zeros(len(left)), z, score, strength))


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
    variance = np.asarray(prior.metric.diagonal())
    return DiagonalMetric(np.sqrt(_matched_variance(1.0, variance, prior.mean, points.x, points.score, strength)))


def _matched_variance(weight, variance, mean, x, score, strength: float) -> np.ndarray:
    """The positive root of uσ⁴ + weight · σ² = v for each coordinate, v with the prior's `variance`."""
    shrunk = strength / (1.0 + strength)
    u = strength * score.var(0) + shrunk * score.mean(0) ** 2
    v = variance + strength * x.var(0) + shrunk * (mean - x.mean(0)) ** 2
    matched = 2.0 * v / (weight + np.sqrt(weight**2 + 4.0 * u * v))
    if not np.all(np.isfinite(matched) & (matched > 0)):
        raise np.linalg.LinAlgError("the diagonal score match left no positive variance")
    return matched


def _orthonormal_span(rows):
    """Orthonormal columns that span the rows, directions below rounding dropped."""
    q, r = np.linalg.qr(rows.T)
    size = np.abs(np.diag(r))
    return q[:, size > 1e-10 * size.max()]
