"""Maps of coordinates whose location and scale lean on a few others, learned in rounds."""

import numpy as np

from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.mapping._fitting import MAX_ROUNDS, allowance, fitted, leaves_out
from monochord.mapping._judge import is_better, leaves_much
from monochord.maps import Parents, couplings, learned_map
from monochord.targets import evaluate, idle_lanes


def along_conditionals(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The best of `linear` and fits along learned conditional maps, and what those cost."""
    assert linear.gaussian is not None
    best, latest, cost = linear, linear, Cost()
    points, known, coupling = linear.draws, None, None
    for number in range(MAX_ROUNDS):
        learned = _learned(latest, points, coupling, known)
        if learned is None:
            break
        along, parents = learned
        if _is_partial(linear, parents) or (known is not None and not _adds(parents, known)):
            break
        known = parents
        allowed = allowance(linear)
        found, spent = fitted(fold_key(key, number), target, along, algorithm, callback, allowed)
        cost = cost + spent
        if found is None:
            break
        latest = found
        pays, spent = is_better(fold_key(key, MAX_ROUNDS + number), target, latest, best)
        cost = cost + spent
        if not pays:
            break
        best = latest
        if number + 1 == MAX_ROUNDS or best.verdict == "trust" or not leaves_much(best) or latest.draws is None:
            break
        coupling = couplings(linear.gaussian)
        points = evaluate(target, along.place(latest.draws.x))
        cost = cost + Cost(len(points.x), idle_lanes(len(points.x)))
    return best, cost


def _learned(fit: FitResult, points, coupling, known):
    """`learned_map`; no map where its regressions fail."""
    assert fit.gaussian is not None and fit.draws is not None
    try:
        with np.errstate(all="ignore"):
            return learned_map(fit.gaussian, fit.draws, points, coupling, known)
    except np.linalg.LinAlgError:
        return None


def _is_partial(linear: FitResult, parents: dict[int, Parents]) -> bool:
    """Whether a map leaves coordinates out of a target that may serve as a start, and most of whose score is explained.

    Trouble then sits in a few coordinates, and a map that takes only some of the others off them moves it elsewhere.
    """
    driving = {j for own in parents.values() for j in (*own.scale, *own.curved)}
    return leaves_out(linear, len(driving | set(parents)))


def _adds(parents: dict[int, Parents], known: dict[int, Parents]) -> bool:
    """Whether a coordinate has drivers of its scale or curvature that it had not."""
    return any(
        i not in known or set(own.scale) - set(known[i].scale) or set(own.curved) - set(known[i].curved)
        for i, own in parents.items()
    )
