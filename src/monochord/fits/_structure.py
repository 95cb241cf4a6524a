"""Which structure should the metric have: isotropic, diagonal, low rank or dense?

Judged by the cost functional C(M), times what a leapfrog costs with the metric applied, on points that were not drawn
from the final Gaussian and carry importance weights; the simplest candidate within a tenth of the best is chosen.
"""

import dataclasses

import jax
import numpy as np

from monochord.estimate import Estimate
from monochord.fits._score import coordinate_residuals, residual_terms
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, DenseMetric, DiagonalMetric, LowRankMetric
from monochord.spectra import best_diagonal, cost_functional
from monochord.targets import AbstractTarget, Evaluations

MARGIN = 1.1  # the simplest within 10 % of the best
RANKS = (1, 2, 4, 8, 16, 32)
FOLDS = 4  # the choice itself needs no error; it is shown with one
SCALE_UPDATES = 4
SMALL_DIM = 20  # up to it a dense matrix is as simple as a low-rank one
STEP_FLOPS = 1e5  # of a leapfrog step beside gradient and metric: 20 microseconds of bookkeeping at 5 Gflop/s
FLOPS_A_DATUM = 4.0  # forward and backward, a multiply and an add each
MAX_LOST = 0.01  # of the score residual, and five times that of one coordinate's: simplicity must not cost trust
MAX_RATIO = 50.0  # of an importance weight to the mean weight


@dataclasses.dataclass(frozen=True)
class MetricChoice:
    """One candidate: its C(M), and the price of a leapfrog with it relative to one without a metric."""

    name: str
    metric: AbstractMetric
    criterion: Estimate
    price: float

    @property
    def score(self) -> float:
        """C(M) times the price: proportional to the work for an effective draw."""
        return self.criterion.value * self.price


def choose_structure(
    target: AbstractTarget, gaussian: Gaussian, drawn_from: Gaussian, points: Evaluations
) -> tuple[Gaussian, tuple[MetricChoice, ...]]:
    """`gaussian` with the simplest metric within `MARGIN` of the best, and all candidates, simplest first.

    `points` are draws of `drawn_from`, an earlier Gaussian. Without enough finite ones nothing is changed.
    """
    points = points.take(points.finite())
    if len(points.x) < 16 or not isinstance(gaussian.metric, DenseMetric):
        return gaussian, ()
    weights = importance_weights(drawn_from, points)
    work = STEP_FLOPS + FLOPS_A_DATUM * _num_data(target)
    choices = []
    for name, metric in candidates(gaussian.metric):
        price = 1.0 + _flops(metric) / work
        choices.append(MetricChoice(name, metric, cost_functional(metric, points, weights, FOLDS), price))
    best = min(choice.score for choice in choices)
    whole, worst = _unexplained(gaussian, points, weights)
    for choice in choices:
        simpler = Gaussian(gaussian.mean, choice.metric)
        residual, coordinate = _unexplained(simpler, points, weights)
        if choice.score <= MARGIN * best and residual <= whole + MAX_LOST and coordinate <= worst + 5 * MAX_LOST:
            return simpler, tuple(choices)
    return gaussian, tuple(choices)


def _unexplained(gaussian: Gaussian, points: Evaluations, weights: np.ndarray) -> tuple[float, float]:
    """The score residual, and the largest unexplained share of one coordinate."""
    coordinates = weights @ coordinate_residuals(gaussian, points)
    return float(weights @ residual_terms(gaussian, points)), float(np.max(coordinates))


def candidates(metric: DenseMetric) -> list[tuple[str, AbstractMetric]]:
    """Metrics of growing complexity that approximate a dense one, with their names."""
    diagonal = best_diagonal(metric)
    isotropic = DiagonalMetric(np.full(metric.dim, np.exp(0.5 * float(metric.log_det()) / metric.dim)))
    found: list[tuple[str, AbstractMetric]] = [("isotropic", isotropic), ("diagonal", diagonal)]
    if metric.dim > SMALL_DIM:
        found += [(f"low rank {k}", low_rank_of(metric, k)) for k in RANKS if k <= metric.dim // 4]
    return [*found, ("dense", metric)]


def low_rank_of(metric: DenseMetric, rank: int) -> LowRankMetric:
    """The `rank` directions of a dense metric that stand out most, at both ends, of a diagonal that leaves them out.

    Scale and directions in turn: what the directions do not explain of the diagonals of Σ and Σ⁻¹ moves the scale,
    by the Fisher rule of `best_diagonal`. Exact for a matrix of this form.
    """
    covariance, precision = np.asarray(metric.dense()), np.asarray(metric.solve(np.eye(metric.dim)))
    scale = np.asarray(best_diagonal(metric).scale)
    for _ in range(SCALE_UPDATES):
        eigenvalues, vectors = _extremes(covariance, scale, rank)
        left = np.diag(covariance) / scale**2 - vectors**2 @ (eigenvalues - 1.0)
        left_of_inverse = np.diag(precision) * scale**2 - vectors**2 @ (1.0 / eigenvalues - 1.0)
        usable = (left > 0) & (left_of_inverse > 0)
        scale = scale * np.where(usable, np.abs(left / left_of_inverse), 1.0) ** 0.25
    eigenvalues, vectors = _extremes(covariance, scale, rank)
    return LowRankMetric(scale, vectors, eigenvalues)


def _extremes(covariance, scale, rank: int):
    """Eigenpairs of Σ in units of `scale` that are furthest from 1 in logarithm."""
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    keep = np.argsort(-np.abs(np.log(np.maximum(eigenvalues, 1e-300))))[:rank]
    return np.maximum(eigenvalues[keep], 1e-12), vectors[:, keep]


def importance_weights(gaussian: Gaussian, points: Evaluations) -> np.ndarray:
    """p/q at draws of `gaussian`, none above `MAX_RATIO` times the mean weight, shape (n,), sum 1."""
    log_ratios = points.log_density - np.asarray(gaussian.log_prob(points.x))
    weights = np.exp(log_ratios - np.max(log_ratios))
    weights = np.minimum(weights / weights.mean(), MAX_RATIO)
    return weights / weights.sum()


def _num_data(target: AbstractTarget) -> float:
    return float(sum(np.size(leaf) for leaf in jax.tree.leaves(target)))


def _flops(metric: AbstractMetric) -> float:
    """Of one velocity Σp."""
    if isinstance(metric, DenseMetric):
        return 4.0 * metric.dim**2
    if isinstance(metric, LowRankMetric):
        return 8.0 * metric.dim * metric.rank
    return 2.0 * metric.dim
