"""`learned_map`: a conditional map from the points and scores of a fit, without a gradient of its own."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.maps._conditional import ConditionalMap
from monochord.maps._regression import ConditionalFit, conditional_fit
from monochord.maps._structure import Edges, screen
from monochord.targets import Evaluations

MAX_DIM = 1000  # all pairs are looked at: 8 MB a matrix
FEWEST_PAIRS = 20
NUM_SCALE, NUM_CURVED, NUM_COUPLED = 3, 2, 5  # drivers of one coordinate at most, by kind
COUPLED = 0.15  # change of a conditional mean, in deviations, for one deviation of another coordinate
HUB = 3  # coordinates that lean on one, from which on it drives rather than is driven
EXPLAINED = 0.7  # correlation of a coordinate's score with its conditional's: below it the drivers are not its parents
SIGNIFICANT = 3.0  # standard errors of a coefficient
GAIN = 6.0  # log of the ratio of residuals times points, beyond the two of each coefficient: chance 1e-3 a coordinate


@dataclasses.dataclass(frozen=True)
class Parents:
    """Drivers of one coordinate: of its scale, of its location, and those whose square bends it."""

    scale: tuple[int, ...]
    location: tuple[int, ...]
    curved: tuple[int, ...]


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
    children -= set(edges.drivers) | {
        j for parents in known.values() for j in (*parents.scale, *parents.location, *parents.curved)
    }
    while children:
        order = sorted(children)
        chosen = {i: _candidates(i, edges, coupling, children, known) for i in order}
        fit, plain = _fitted(z, score, order, chosen), _fitted(z, score, order, chosen, is_linear=True)
        failing = [i for place, i in enumerate(order) if not _earns(fit, plain, place, chosen[i], len(z))]
        if not failing:
            return _pruned(fit, order, chosen)
        leaning = coupling[np.ix_(failing, order)] > COUPLED
        weight = leaning.sum(0)
        if weight.max() >= HUB:
            children.discard(order[int(np.argmax(weight))])
        else:  # the worse half: the rest may have failed for want of a parent among them
            explained = fit.explained[[order.index(i) for i in failing]]
            worst = np.argsort(explained, kind="stable")[: (len(failing) + 1) // 2]
            children -= {failing[place] for place in worst}
    return {}


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
    return Parents(scale, tuple(dict.fromkeys((*scale, *curved, *location))), curved)


WIDTH = NUM_SCALE + NUM_CURVED + NUM_COUPLED


def _fitted(z, score, order, chosen, is_linear: bool = False) -> ConditionalFit:
    """Conditional fits of all coordinates in `order`; without scale drivers and curvature where `is_linear`."""
    n = len(z)
    of_scale = np.zeros((len(order), n, 1 + NUM_SCALE))
    of_location = np.zeros((len(order), n, 1 + WIDTH + NUM_CURVED))
    used = np.zeros((len(order), of_scale.shape[2] + of_location.shape[2]), bool)
    of_scale[:, :, 0], of_location[:, :, 0] = 1.0, 1.0
    used[:, 0] = used[:, of_scale.shape[2]] = True
    for place, i in enumerate(order):
        parents = chosen[i]
        columns = [] if is_linear else list(parents.scale)
        of_scale[place, :, 1 : 1 + len(columns)] = z[:, columns]
        used[place, 1 : 1 + len(columns)] = True
        start = of_scale.shape[2]
        of_location[place, :, 1 : 1 + len(parents.location)] = z[:, list(parents.location)]
        used[place, start + 1 : start + 1 + len(parents.location)] = True
        bent = [] if is_linear else list(parents.curved)
        of_location[place, :, 1 + WIDTH : 1 + WIDTH + len(bent)] = z[:, bent] ** 2
        used[place, start + 1 + WIDTH : start + 1 + WIDTH + len(bent)] = True
    return conditional_fit(z[:, order], score[:, order], of_scale, of_location, used)


def _earns(fit: ConditionalFit, plain: ConditionalFit, place: int, parents: Parents, n: int) -> bool:
    extra = len(parents.scale) + len(parents.curved)
    if extra == 0 or not fit.explained[place] > EXPLAINED:
        return False
    after, before = max(float(fit.residual[place]), 1e-300), max(float(plain.residual[place]), 1e-300)
    return n * math.log(before / after) > 2.0 * extra + GAIN


def _pruned(fit: ConditionalFit, order, chosen) -> dict[int, Parents]:
    """Parents whose coefficients stand out of their noise; a coordinate whose scale and shape depend on none is no child."""
    kept = {}
    for place, i in enumerate(order):
        parents = chosen[i]
        scale = tuple(
            j
            for slot, j in enumerate(parents.scale, start=1)
            if abs(fit.scale[place, slot]) > SIGNIFICANT * fit.scale_error[place, slot]
        )
        curved = tuple(
            j
            for slot, j in enumerate(parents.curved, start=1 + WIDTH)
            if abs(fit.location[place, slot]) > SIGNIFICANT * fit.location_error[place, slot]
        )
        if scale or curved:
            kept[i] = Parents(scale, parents.location, curved)
    return kept


def _assembled(z, score, center, unit, parents: dict[int, Parents]) -> ConditionalMap:
    """The map in the target's own units: u is a coordinate of unit scale about 0."""
    order = sorted(parents)
    fit = _fitted(z, score, order, parents)
    dim = z.shape[1]
    drivers, level = np.tile(np.arange(dim)[:, None], (1, WIDTH)), np.zeros(dim, int)
    offset, log_scale = np.zeros(dim), np.zeros(dim)
    location, curvature, scale = (np.zeros((dim, WIDTH)) for _ in range(3))
    for place, i in enumerate(order):
        own = parents[i]
        level[i] = 1
        offset[i] = center[i] + unit[i] * fit.location[place, 0]
        log_scale[i] = math.log(unit[i]) + fit.scale[place, 0]
        for slot, j in enumerate(own.location):
            drivers[i, slot] = j
            location[i, slot] = unit[i] * fit.location[place, 1 + slot]
            if j in own.scale:
                scale[i, slot] = fit.scale[place, 1 + own.scale.index(j)]
            if j in own.curved:
                curvature[i, slot] = unit[i] * fit.location[place, 1 + WIDTH + own.curved.index(j)]
    return ConditionalMap(drivers, level, center, unit, offset, location, curvature, log_scale, scale, 1)
