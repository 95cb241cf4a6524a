"""`tail_map`: the tails of single coordinates, from the points and scores of a fit, without a gradient of its own.

What other coordinates do to a score is taken out first, or not at all, whichever leaves less. Where a target is N(0, P⁻¹) along
a map u ↦ x of single coordinates, its scores are s_i = −(Σ_j P_ij u_j + (log T_i')')/T_i', and the fit's own precision in x, the mean
of −∂s_i/∂x_j, has P_ij times the means of 1/T_i' and 1/T_j' off its diagonal. So P is read off it, and map and P take turns.
"""

import numpy as np

from monochord.gaussian import Gaussian
from monochord.maps._tail import FIELDS, TailMap
from monochord.maps._tail_search import DIFFERENCE, Law, best_gaussian, fitted, searched
from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.targets import Evaluations

FEWEST, MAX_DIM = 40, 1000  # points, and coordinates: a dense precision is looked at
TURNS, ROUNDS = 3, 15  # of map and precision, and of a search that goes on
# Of a coordinate's score that is not linear in it: the least for which a map is made, and the share that it may leave. Gumbel, Student
# and log-gamma laws have .1 to 3 and leave .0001 to .1 of it; noise that does not lean on the coordinate keeps .9, with heavy tails .5
STANDS_OUT, LEFT = 0.05, 0.25
STANDS_OUT_TOO, LEFT_TOO = 0.002, 0.5  # the same of the others, once there is a map
WIDEST = 2.0  # deviations of the points, of a first Gaussian where a coordinate is not moved
LEAST_EIGENVALUE = 0.05  # of the correlations of a first precision
LEFT_OF_ALL = 0.5  # the same of all coordinates together: where more stays trouble lies elsewhere


def tail_map(gaussian: Gaussian, draws: Evaluations, along: TailMap | None = None) -> tuple[TailMap, Gaussian] | None:
    """The map of the coordinates whose own score is not linear, with a first Gaussian there; None where it would not explain the scores.

    `draws` are points of any distribution with scores there, `gaussian` has the target's means and precision; both are in the
    coordinates of `along` where a first map is given. There is a map where a coordinate's score, the others taken out, is not linear in it,
    and the map leaves less than a quarter of that, and of all coordinates' less than half.
    """
    points = draws.take(np.flatnonzero(draws.finite()))
    if len(points.x) < FEWEST or gaussian.dim > MAX_DIM:
        return None
    x, score = (points.x, points.score) if along is None else _taken_back(along, points)
    mean, unit = x.mean(0), x.std(0)
    if not np.all(unit > 0):
        return None
    z, score = (x - mean) / unit, score * unit
    coupling, by_others = _coupled(gaussian, x, unit, along)
    plain = np.minimum(best_gaussian(z, score)[0], best_gaussian(z, score + by_others)[0])
    if not np.any(plain > STANDS_OUT):
        return None
    tried = np.flatnonzero(plain > STANDS_OUT_TOO)
    law, leans = _best(z, score, by_others, coupling, tried)
    moves = law.left < LEFT_TOO * plain[tried]
    left = plain.sum() - np.sum((plain[tried] - law.left)[moves])
    is_reason = (plain[tried] > STANDS_OUT) & (law.left < LEFT * plain[tried])
    if not np.any(is_reason) or not left < LEFT_OF_ALL * plain.sum():
        return None
    at, found, kept = tried[moves], law.map(), TailMap.identity(gaussian.dim)
    rows = {name: np.array(getattr(kept, name)) for name in FIELDS}
    for name in FIELDS:
        rows[name][at] = getattr(found, name)[moves]
    rows["loc"][at], rows["scale"][at] = mean[at] + unit[at] * rows["loc"][at], unit[at] * rows["scale"][at]
    made, given = TailMap.of(**rows), (score + by_others) / unit
    given[:, at[~leans[moves]]] = 0.0
    return made, _first_gaussian(made, x, given, coupling / np.outer(unit, unit), at[~leans[moves]])


def _first_gaussian(along: TailMap, x, given, coupling, alone) -> Gaussian:
    """Standard where a coordinate is moved, else by what is left of the scores; coupled as the scores are, but for those `alone`."""
    inverse = 1.0 / along.slopes(along.inverse(x))
    mean, moved = inverse.mean(0), along.moved
    precision = coupling / np.outer(mean, mean)
    precision[alone] = precision[:, alone] = 0.0
    unit = x.std(0)
    _, width, place = best_gaussian((x - x.mean(0)) / unit, given * unit)
    # a score that hardly changes over the points says nothing beyond them
    width, place = np.minimum(width, WIDEST), np.clip(place, -WIDEST, WIDEST)
    np.fill_diagonal(precision, np.where(moved, 1.0, (width * unit) ** -2.0))
    place = np.where(moved, 0.0, x.mean(0) + unit * place)
    size = np.sqrt(np.diag(precision))
    if np.linalg.eigvalsh(precision / np.outer(size, size))[0] < LEAST_EIGENVALUE:
        return Gaussian(place, DiagonalMetric(1.0 / size))
    return Gaussian(place, DenseMetric.from_covariance(np.linalg.inv(precision)))


def _taken_back(along: TailMap, points: Evaluations) -> tuple[np.ndarray, np.ndarray]:
    """Points and scores in the target's own coordinates."""
    u = points.x
    ahead, behind = (np.log(along.slopes(u + step)) for step in (DIFFERENCE, -DIFFERENCE))
    return along.place(u), (points.score - (ahead - behind) / (2.0 * DIFFERENCE)) / along.slopes(u)


def _coupled(gaussian: Gaussian, x, unit, along: TailMap | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean −∂s_i/∂x_j off the diagonal, standardised; and what it takes off the scores."""
    coupling = np.asarray(gaussian.metric.solve(np.eye(gaussian.dim)))
    np.fill_diagonal(coupling, 0.0)
    if along is None:
        coupling = coupling * np.outer(unit, unit)
        return coupling, ((x - np.asarray(gaussian.mean)) / unit) @ coupling
    u = along.inverse(x)
    inverse = unit / along.slopes(u)
    mean = inverse.mean(0)
    return coupling * np.outer(mean, mean), (u - np.asarray(gaussian.mean)) @ coupling * inverse


def _best(z, score, by_others, coupling, tried) -> tuple[Law, np.ndarray]:
    """The better of the laws of the scores themselves and of what is left of them once others are taken out, at the places `tried`; and
    whether it is the second.
    """
    own = z[:, tried]
    best = alone = fitted(own, score[:, tried])
    law = None
    for _ in range(TURNS):
        given = (score + by_others)[:, tried]
        law = fitted(own, given) if law is None else searched(own, given, law, ROUNDS)
        best = law.where(law.left < best.left, best)
        along = law.map()
        u, inverse = z.copy(), np.ones_like(z)
        u[:, tried] = along.inverse(own)
        inverse[:, tried] = 1.0 / along.slopes(u[:, tried])
        mean = inverse.mean(0)
        by_others = (u / mean) @ coupling * inverse / mean
    return best, best.left < alone.left
