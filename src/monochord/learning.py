"""The metric keeps learning: the update that made the fit, fed with posterior draws, chosen by held-out cost.

The fit is a prior worth some pseudo-draws. How much it is worth is not assumed: candidates between the prior and what
the draws alone say are made from one half of the chains and judged by the cost functional C(M) on the other half.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from monochord import fits
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, LowRank, geodesic
from monochord.sampling import Refine
from monochord.spectra import cost_functional
from monochord.targets import Evaluations

PSEUDO_DRAWS = 10.0  # of the prior, and twice the degrees of freedom of a row of the metric
ALONE = 1e6  # strength at which the draws outweigh any prior
HALFWAY = 0.5
INERTIA = 0.98  # of the prior's cost: below it a candidate is worth a change
FEWEST = 8  # points in each half


def refiner(families: Sequence[AbstractFamily]) -> Refine:
    """A function of (Gaussian, pooled draws and scores, chain of each) that returns the best of the candidates.

    Families are tried in order; where the draws contradict nothing, the Gaussian comes back as it is.
    """

    def refine(gaussian: Gaussian, points: Evaluations, chains: np.ndarray) -> Gaussian:
        halves = _halves(chains)
        if min(np.sum(halves), np.sum(~halves)) < FEWEST:
            return gaussian
        costs: dict[int, list[float]] = {}
        for train in (halves, ~halves):
            for place, candidate in _candidates(families, gaussian, points.take(train)):
                cost = cost_functional(candidate.metric, points.take(~train), folds=2).value
                costs.setdefault(place, []).append(np.log(cost) if cost > 0 else np.inf)
        means = {place: float(np.mean(values)) for place, values in costs.items() if len(values) == 2}
        best = min(means, key=means.__getitem__)
        if best == 0 or not means[best] < means[0] + np.log(INERTIA):
            return gaussian
        return dict(_candidates(families, gaussian, points)).get(best, gaussian)

    return refine


def _halves(chains: np.ndarray) -> np.ndarray:
    """Mask of every second chain; of a single chain the first half, as neighbours in time are alike."""
    if chains.max() > chains.min():
        return chains % 2 == 0
    return np.arange(len(chains)) < len(chains) // 2


def _candidates(families, prior: Gaussian, points: Evaluations) -> Iterator[tuple[int, Gaussian]]:
    """(place, Gaussian): the prior, and for each family the match with pseudo-draws, with none, and halfway there.

    Scores are centred: their mean over the posterior is zero, and what is left of it in few draws says nothing of scales.
    """
    yield 0, prior
    points = points._replace(score=points.score - points.score.mean(0))
    centred = Gaussian(points.x.mean(0), prior.metric)
    for number, family in enumerate(families):
        strength = len(points.x) / (PSEUDO_DRAWS + 2.0 * freedom(family, prior.dim))
        for place, weight in ((1, strength), (2, ALONE)):
            try:
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    matched = fits.match(family, centred, points, weight)
                    between = geodesic(prior.metric, matched.metric, HALFWAY) if place == 2 else None
            except (np.linalg.LinAlgError, ValueError):
                continue
            yield 3 * number + place, matched
            if between is not None and family.name != "low_rank":
                yield 3 * number + 3, Gaussian(matched.mean, between)


def freedom(family: AbstractFamily, dim: int) -> int:
    """Degrees of freedom of a row of a metric of the family."""
    if isinstance(family, Dense):
        return dim
    return 1 + family.rank if isinstance(family, LowRank) else 1
