"""The metric keeps learning: the update that made the fit, fed with posterior draws, chosen by held-out cost.

The fit is a prior worth some pseudo-draws. How much it is worth is not assumed: candidates between the prior and what
the draws alone say are made from one half of the chains and judged by the cost functional C(M) on the other half.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from monochord import fits
from monochord.gaussian import Gaussian
from monochord.metrics import (
    AbstractFamily,
    AbstractMetric,
    Dense,
    DenseMetric,
    Diagonal,
    DiagonalMetric,
    LowRank,
    geodesic,
)
from monochord.sampling import Refine
from monochord.spectra import cost_functional
from monochord.targets import Evaluations

PSEUDO_DRAWS = 10.0  # of the prior, and twice the degrees of freedom of a row of the metric
ALONE = 1e6  # strength at which the draws outweigh any prior
HALFWAY = 0.5
KEPT, MATCH = ("prior",), "match"
CLEARLY = 0.95  # of the cost of the usual candidate: below it another is better beyond noise
SAME = 1e-6  # in log cost: nothing has been learned
FEWEST = 8  # points in each half


def refiner(families: Sequence[AbstractFamily]) -> Refine:
    """A function of (Gaussian, pooled draws and scores, chain of each) that returns the best of the candidates.

    Families are tried in order; where the draws contradict nothing, the Gaussian comes back as it is.
    """

    def refine(gaussian: Gaussian, points: Evaluations, chains: np.ndarray) -> Gaussian:
        halves = _halves(chains)
        if min(np.sum(halves), np.sum(~halves)) < FEWEST:
            return gaussian
        costs: dict[tuple, list[float]] = {}
        for train in (halves, ~halves):
            for name, candidate in _candidates(families, gaussian, points.take(train)):
                cost = cost_functional(candidate.metric, points.take(~train), folds=2).value
                costs.setdefault(name, []).append(np.log(cost) if cost > 0 else np.inf)
        means = {name: float(np.mean(values)) for name, values in costs.items() if len(values) == 2}
        chosen = _chosen(means)
        return gaussian if chosen == KEPT else dict(_candidates(families, gaussian, points)).get(chosen, gaussian)

    return refine


def _chosen(costs: dict[tuple, float]) -> tuple:
    """The candidate to use, by mean log cost on held-out chains.

    The match with pseudo-draws weighs prior and draws as they deserve, and stands unless another is clearly better: the cost
    over few draws is noisy, and the prior would win by being what the draws of the moment came from.
    """
    matches = {name: cost for name, cost in costs.items() if name[-1] == MATCH}
    usual = min(matches, key=matches.__getitem__) if matches else KEPT
    best = min(costs, key=costs.__getitem__)
    if np.isclose(costs[usual], costs[KEPT], rtol=0.0, atol=SAME) or not np.isfinite(costs[usual]):
        usual = KEPT
    return best if costs[best] < costs[usual] + np.log(CLEARLY) else usual


def _halves(chains: np.ndarray) -> np.ndarray:
    """Mask of every second chain; of a single chain the first half, as neighbours in time are alike."""
    if chains.max() > chains.min():
        return chains % 2 == 0
    return np.arange(len(chains)) < len(chains) // 2


def _candidates(families, prior: Gaussian, points: Evaluations) -> Iterator[tuple[tuple, Gaussian]]:
    """(name, Gaussian): the prior, and for each family what draws and scores say (the match with pseudo-draws, with none,
    and halfway there) and what the draws alone say (their covariance, and halfway from it to the match).

    On skewed posteriors the covariance is the better metric, where there are draws enough for it: its noise grows with the
    dimension, that of the match only with what is not Gaussian. Scores are centred: their mean over the posterior is zero,
    and what is left of it in few draws says nothing of scales.
    """
    yield KEPT, prior
    points = points._replace(score=points.score - points.score.mean(0))
    centred = Gaussian(points.x.mean(0), prior.metric)
    for family in families:
        weight = len(points.x) / (PSEUDO_DRAWS + 2.0 * freedom(family, prior.dim))
        matched = _matched(family, centred, points, weight)
        if matched is not None:
            yield (family.name, MATCH), matched
        alone = _matched(family, centred, points, ALONE)
        if alone is None:
            continue
        yield (family.name, "match alone"), alone
        spread = _spread(family, centred, points, weight)
        ways = {"halfway": (prior.metric, alone.metric)}
        if spread is not None:
            yield (family.name, "covariance"), Gaussian(centred.mean, spread)
            ways["between"] = (spread, alone.metric)
        for name, ends in ways.items():
            between = geodesic(*ends, HALFWAY) if family.name != "low_rank" else None
            if between is not None:
                yield (family.name, name), Gaussian(alone.mean, between)


def _matched(family, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian | None:
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return fits.match(family, prior, points, strength)
    except (np.linalg.LinAlgError, ValueError):
        return None


def _spread(family, prior: Gaussian, points: Evaluations, weight: float) -> AbstractMetric | None:
    """Covariance of the points, and the prior's with its pseudo-draws: (Σ₀ + λC)/(1 + λ)."""
    if isinstance(family, Diagonal):
        variance = (np.asarray(prior.metric.diagonal()) + weight * points.x.var(0)) / (1.0 + weight)
        return DiagonalMetric(np.sqrt(variance)) if np.all(variance > 0) else None
    if not isinstance(family, Dense):
        return None
    centred = points.x - prior.mean
    covariance = (np.asarray(prior.metric.dense()) + weight * centred.T @ centred / len(centred)) / (1.0 + weight)
    try:
        return DenseMetric.from_covariance((covariance + covariance.T) / 2)
    except ValueError:
        return None


def freedom(family: AbstractFamily, dim: int) -> int:
    """Degrees of freedom of a row of a metric of the family."""
    if isinstance(family, Dense):
        return dim
    return 1 + family.rank if isinstance(family, LowRank) else 1
