"""`tail_map`: the tails of single coordinates, from the points and scores of a fit, without a gradient of its own.

What other coordinates do to a score is taken out first, or not at all, whichever leaves less. Where a target is N(0, P⁻¹) along
a map u ↦ x of single coordinates, its scores are s_i = −(Σ_j P_ij u_j + (log T_i')')/T_i', and the fit's own precision in x, the mean
of −∂s_i/∂x_j, has P_ij times the means of 1/T_i' and 1/T_j' off its diagonal. So P is read off it, and map and P take turns.
"""

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.maps._tail import FIELDS, TailMap
from monochord.maps._tail_search import Law, fitted, linear, searched
from monochord.targets import Evaluations

FEWEST, MAX_DIM = 40, 1000  # points, and coordinates: a dense precision is looked at
TURNS, ROUNDS = 3, 15  # of map and precision, and of a search that goes on
# Of a coordinate's score that is not linear in it: the least that is looked at, and the share that a map may leave. Gumbel, Student and
# log-gamma laws have .1 to 3 and leave .001 to .1 of it. Noise that does not lean on the coordinate keeps more than .9
STANDS_OUT, LEFT = 0.05, 0.25
LEFT_OF_ALL = 0.5  # the same of all coordinates together: where more stays trouble lies elsewhere


def tail_map(gaussian: Gaussian, draws: Evaluations) -> TailMap | None:
    """The map of the coordinates whose own score is not linear, or None where it would not explain the scores.

    `draws` are points of any distribution with scores there. A coordinate is moved where its score, the others taken out, is
    not linear in it (`STANDS_OUT`, as a share of a Gaussian's squared score) and the map leaves less than a quarter of that.
    """
    points = draws.take(np.flatnonzero(draws.finite()))
    if len(points.x) < FEWEST or gaussian.dim > MAX_DIM:
        return None
    mean, unit = points.x.mean(0), points.x.std(0)
    if not np.all(unit > 0):
        return None
    z, score = (points.x - mean) / unit, points.score * unit
    coupling = np.asarray(gaussian.metric.solve(np.eye(gaussian.dim))) * np.outer(unit, unit)
    np.fill_diagonal(coupling, 0.0)
    by_others = (z - (np.asarray(gaussian.mean) - mean) / unit) @ coupling
    plain = np.minimum(linear(z, score)[0], linear(z, score + by_others)[0])
    tried = np.flatnonzero(plain > STANDS_OUT)
    if not tried.size:
        return None
    law = _best(z, score, by_others, coupling, tried)
    moves = law.left < LEFT * plain[tried]
    if not np.any(moves) or not plain.sum() - np.sum((plain[tried] - law.left)[moves]) < LEFT_OF_ALL * plain.sum():
        return None
    at = tried[moves]
    found, kept = law.map(), TailMap.identity(gaussian.dim)
    rows = {name: np.array(getattr(kept, name)) for name in FIELDS}
    for name in FIELDS:
        rows[name][at] = getattr(found, name)[moves]
    rows["loc"][at], rows["scale"][at] = mean[at] + unit[at] * rows["loc"][at], unit[at] * rows["scale"][at]
    return TailMap.of(**rows)


def _best(z, score, by_others, coupling, tried) -> Law:
    """The better of the laws of the scores themselves and of what is left of them once others are taken out, at the places `tried`."""
    own = z[:, tried]
    best = fitted(own, score[:, tried])
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
    return best
