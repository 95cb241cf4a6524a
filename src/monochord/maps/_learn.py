"""`learned_map`: a conditional map from the points and scores of a fit, without a gradient of its own."""

import dataclasses
import math
from collections import Counter

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.maps._conditional import ConditionalMap
from monochord.maps._regression import ABSENT, ConditionalFit, Design, conditional_fit
from monochord.maps._structure import Edges, screen
from monochord.targets import Evaluations

MAX_DIM = 1000  # all pairs are looked at: 8 MB a matrix
FEWEST_PAIRS = 20
NUM_SCALE, NUM_CURVED, NUM_COUPLED = 3, 2, 5  # drivers of one coordinate at most, by kind
COUPLED = 0.15  # change of a conditional mean, in deviations, for one deviation of another coordinate
HUB = 3  # coordinates that lean on one, from which on it drives rather than is driven
EXPLAINED = 0.99  # correlation of a coordinate's score with its conditional's: below it trouble only moves elsewhere
SIGNIFICANT = 3.0  # standard errors of a coefficient
WIDTH = NUM_SCALE + NUM_CURVED + NUM_COUPLED
LOCATION = 1 + NUM_SCALE  # where the coefficients of the first location begin, and of the second scale (`Design.cuts`)
SECOND = LOCATION + 1 + WIDTH + NUM_CURVED
FLOOR = 1e-20  # of a mean square: below it a coordinate is explained to rounding
GAIN = 6.0  # log of the ratio of residuals times points, beyond the two of each coefficient: chance 1e-3 a coordinate


@dataclasses.dataclass(frozen=True)
class Parents:
    """Drivers of one coordinate: of its scale, of its location, and those whose square bends it; and its components."""

    scale: tuple[int, ...]
    location: tuple[int, ...]
    curved: tuple[int, ...]
    has_two: bool


def learned_map(
    gaussian: Gaussian,
    draws: Evaluations,
    points: Evaluations | None = None,
    coupling: Float[np.ndarray, "dim dim"] | None = None,
    known: dict[int, Parents] | None = None,
) -> tuple[ConditionalMap, dict[int, Parents]] | None:
    """`(map, parents)` from antithetic draws of `gaussian` (halves one after the other) with their scores; or None.

    A second map of one target is learned from `draws` in the coordinates of the first, and from `points`, the same in
    the target's own, with the `coupling` there and the parents `known`: others may join them, and all are fitted anew.
    """
    points = points if points is not None else draws
    half = len(draws.x) // 2
    finite = draws.finite() & points.finite()
    paired = np.flatnonzero(finite[:half] & finite[half : 2 * half])
    usable = points.take(np.flatnonzero(finite))
    if len(paired) < FEWEST_PAIRS or not 2 <= gaussian.dim <= MAX_DIM:
        return None
    center, unit = usable.x.mean(0), usable.x.std(0)
    if not np.all(unit > 0):
        return None
    z, score = (usable.x - center) / unit, usable.score * unit
    edges = _edges(gaussian, draws.take(np.concatenate([paired, half + paired])))
    coupling = coupling if coupling is not None else couplings(gaussian)
    parents = _resolved(z, score, edges, coupling, known or {})
    return (_assembled(z, score, center, unit, parents), parents) if parents else None


def _edges(gaussian: Gaussian, draws: Evaluations) -> Edges:
    unit = np.sqrt(np.asarray(gaussian.metric.diagonal()))
    z, score = (draws.x - np.asarray(gaussian.mean)) / unit, draws.score * unit
    unexplained = score - np.asarray(gaussian.score(draws.x)) * unit
    half = len(z) // 2
    return screen(*((part[:half], part[half:]) for part in (z, score, unexplained)))


def couplings(gaussian: Gaussian) -> Float[np.ndarray, "dim dim"]:
    """|change of the conditional mean of i for one deviation of j| under the Gaussian, in deviations of i."""
    unit = np.sqrt(np.asarray(gaussian.metric.diagonal()))
    precision = np.asarray(gaussian.metric.solve(np.eye(gaussian.dim)))
    slope = np.abs(precision * unit[None, :]) / (np.abs(np.diag(precision)) * unit)[:, None]
    np.fill_diagonal(slope, 0.0)
    return slope


def _resolved(z, score, edges: Edges, coupling, known: dict[int, Parents]) -> dict[int, Parents]:
    """Children and their parents: coordinates whose score the drivers explain, hubs left to drive."""
    children = set(np.flatnonzero(edges.scale.any(1) | edges.curved.any(1)).tolist()) | set(known)
    children -= {j for p in known.values() for j in (*p.scale, *p.location, *p.curved)}
    edges, free = _directed(z, score, edges, coupling, sorted(children))
    children = {i for i in children if edges.scale[i].any() or edges.curved[i].any() or i in known}
    while children:
        order = sorted(children)
        chosen = [_candidates(i, edges, coupling, children, known) for i in order]
        fit, has_two = _best_fit(z, score, order, chosen)
        plain = _fitted(z, score, order, [Parents((), p.location, (), False) for p in chosen])
        failing = [i for place, i in enumerate(order) if not _earns(fit, plain, place, chosen[place], len(z))]
        if not failing:
            return _joined(z, score, _pruned(fit, order, chosen, has_two))
        leaning = coupling[np.ix_(failing, order)] > COUPLED
        weight = leaning.sum(0)
        if weight.max() >= HUB:
            children.discard(order[int(np.argmax(weight))])
        else:  # the worse half of those with a driver to fail by: others wait for one that is still a child itself
            tried = [i for i in failing if chosen[order.index(i)].scale or chosen[order.index(i)].curved]
            explained = {i: float(fit.explained[order.index(i)]) for i in tried} or {i: free[i] for i in failing}
            worst = sorted(explained, key=explained.__getitem__)[: (len(explained) + 1) // 2]
            children -= set(worst)
    return {}


def _joined(z, score, found: dict[int, Parents]) -> dict[int, Parents]:
    """With the coordinates that chance left out: those explained by a driver of several scales as its children are."""
    counts = Counter(j for parents in found.values() for j in parents.scale)
    common = tuple(j for j, count in counts.most_common(NUM_SCALE) if count >= HUB)
    driving = {j for parents in found.values() for j in (*parents.scale, *parents.location, *parents.curved)}
    order = [i for i in range(z.shape[1]) if i not in found and i not in driving]
    if not common or not order:
        return found
    chosen = [Parents(common, common, (), False)] * len(order)
    fit, has_two = _best_fit(z, score, order, chosen)
    plain = _fitted(z, score, order, [Parents((), common, (), False)] * len(order))
    earning = [place for place in range(len(order)) if _earns(fit, plain, place, chosen[place], len(z))]
    late = _pruned(fit, order, chosen, has_two)
    return found | {order[place]: late[order[place]] for place in earning if order[place] in late}


def _directed(z, score, edges: Edges, coupling, order: list[int]) -> tuple[Edges, dict[int, float]]:
    """Where each of two coordinates could drive the other, the one whose score is explained better is the child.

    And how well each in `order` is explained if all its candidates may drive it.
    """
    if not order:
        return edges, {}
    chosen = [_candidates(i, edges, coupling, set(), {}) for i in order]
    fit, _ = _best_fit(z, score, order, chosen)
    unexplained = dict(zip(order, fit.residual, strict=True))
    scale, curved = edges.scale.copy(), edges.curved.copy()
    either = edges.scale | edges.curved
    for i, j in np.argwhere(np.triu(either & either.T)):
        driver = j if unexplained.get(i, math.inf) > unexplained.get(j, math.inf) else i
        other = i if driver == j else j
        scale[other, driver] = curved[other, driver] = False
    explained = dict(zip(order, fit.explained.tolist(), strict=True))
    return edges._replace(scale=scale, curved=curved), explained


def _candidates(i: int, edges: Edges, coupling, children, known) -> Parents:
    def best(mask, strength, count):
        free = [j for j in np.argsort(-strength[i], kind="stable") if mask[i, j] and j not in children]
        return tuple(int(j) for j in free[:count])

    scale = best(edges.scale, edges.scale_strength, NUM_SCALE)
    curved = best(edges.curved, edges.curved_strength, NUM_CURVED)
    location = best(coupling > COUPLED, coupling, NUM_COUPLED)
    if i in known:
        scale, curved = (*known[i].scale, *scale), (*known[i].curved, *curved)
        location = (*known[i].location, *location)
    scale, curved = tuple(dict.fromkeys(scale))[:NUM_SCALE], tuple(dict.fromkeys(curved))[:NUM_CURVED]
    location = tuple(dict.fromkeys((*scale, *curved, *location)))[:WIDTH]
    return Parents(scale, location, curved, False)


def _designed(z, order, chosen: list[Parents]) -> tuple[Design, np.ndarray]:
    """Regressors of all coordinates in `order`, and the mask of those used."""
    n, ka = len(z), 1 + NUM_SCALE
    of_scale = np.zeros((len(order), n, ka))
    of_location = np.zeros((len(order), n, 1 + WIDTH + NUM_CURVED))
    design = Design(of_scale, of_location)
    location, second, place_ = design.cuts
    used = np.zeros((len(order), place_ + 1), bool)
    of_scale[:, :, 0] = of_location[:, :, 0] = 1.0
    used[:, 0] = used[:, location] = True
    for place, parents in enumerate(chosen):
        for slot, j in enumerate(parents.scale, start=1):
            of_scale[place, :, slot] = z[:, j]
            used[place, slot], used[place, second + slot] = True, parents.has_two
        for slot, j in enumerate(parents.location, start=1):
            of_location[place, :, slot] = z[:, j]
            used[place, location + slot] = True
        for slot, j in enumerate(parents.curved, start=1 + WIDTH):
            of_location[place, :, slot] = z[:, j] ** 2
            used[place, location + slot] = True
        used[place, second] = used[place, place_] = parents.has_two
    return design, used


def _fitted(z, score, order, chosen: list[Parents]) -> ConditionalFit:
    """Conditional fits, with a second component where parents have it, begun from the one."""
    design, used = _designed(z, order, [dataclasses.replace(parents, has_two=False) for parents in chosen])
    one = conditional_fit(z[:, order], score[:, order], design, used)
    if not any(parents.has_two for parents in chosen):
        return one
    design, used = _designed(z, order, chosen)
    two = conditional_fit(z[:, order], score[:, order], design, used, one.theta)
    return _where(np.array([parents.has_two for parents in chosen]), two, one)


def _where(mask, fit: ConditionalFit, other: ConditionalFit) -> ConditionalFit:
    return ConditionalFit(
        *(np.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(fit, other, strict=True))
    )


def _best_fit(z, score, order, chosen: list[Parents]) -> tuple[ConditionalFit, np.ndarray]:
    """Fits with one component, and with two where they pay; and where they do."""
    one = _fitted(z, score, order, chosen)
    two = _fitted(z, score, order, [dataclasses.replace(parents, has_two=bool(parents.scale)) for parents in chosen])
    count = np.array([2.0 + len(parents.scale) for parents in chosen])
    gain = len(z) * np.log(np.maximum(one.residual, FLOOR) / np.maximum(two.residual, FLOOR))
    pays = (gain > 2.0 * count + GAIN) & np.array([bool(parents.scale) for parents in chosen])
    return _where(pays, two, one), pays


def _earns(fit: ConditionalFit, plain: ConditionalFit, place: int, parents: Parents, n: int) -> bool:
    extra = len(parents.scale) + len(parents.curved)
    if extra == 0 or not fit.explained[place] > EXPLAINED:
        return False
    after, before = max(float(fit.residual[place]), FLOOR), max(float(plain.residual[place]), FLOOR)
    return n * math.log(before / after) > 2.0 * extra + GAIN


def _pruned(fit: ConditionalFit, order, chosen: list[Parents], has_two) -> dict[int, Parents]:
    """Parents whose coefficients stand out of their noise; a coordinate whose scale and shape depend on none is no child."""
    stands = np.abs(fit.theta) > SIGNIFICANT * fit.error
    kept = {}
    for place, i in enumerate(order):
        own = chosen[place]
        scale = tuple(
            j
            for slot, j in enumerate(own.scale, 1)
            if stands[place, slot] or (has_two[place] and stands[place, SECOND + slot])
        )
        curved = tuple(j for slot, j in enumerate(own.curved, 1 + WIDTH) if stands[place, LOCATION + slot])
        if scale or curved:
            kept[i] = Parents(scale, own.location, curved, bool(has_two[place] and scale))
    return kept


def _assembled(z, score, center, unit, parents: dict[int, Parents]) -> ConditionalMap:
    """The map in the target's own units: u is a coordinate of unit scale about 0."""
    order = sorted(parents)
    fit = _fitted(z, score, order, [parents[i] for i in order])
    last = fit.theta.shape[1] - 1
    dim = z.shape[1]
    drivers, level = np.tile(np.arange(dim)[:, None], (1, WIDTH)), np.zeros(dim, int)
    offset, log_scale, other_place, other_log_scale = (np.zeros(dim) for _ in range(4))
    location, curvature, scale, other_scale = (np.zeros((dim, WIDTH)) for _ in range(4))
    other_log_scale[:] = ABSENT
    for theta, i in zip(fit.theta, order, strict=True):
        own = parents[i]
        level[i] = 1
        offset[i], other_place[i] = center[i] + unit[i] * theta[[LOCATION, last]]
        log_scale[i], other_log_scale[i] = math.log(unit[i]) + theta[[0, SECOND]]
        for slot, j in enumerate(own.location):
            drivers[i, slot] = j
            location[i, slot] = unit[i] * theta[LOCATION + 1 + slot]
            if j in own.scale:
                place = 1 + own.scale.index(j)
                scale[i, slot], other_scale[i, slot] = theta[place], theta[SECOND + place]
            if j in own.curved:
                curvature[i, slot] = unit[i] * theta[LOCATION + 1 + WIDTH + own.curved.index(j)]
    return ConditionalMap(
        drivers, level, center, unit, offset, location, curvature, log_scale, scale, other_place, other_log_scale, other_scale, 1
    )  # fmt: skip
