"""Fits in the coordinates of a map: what they may cost, and whether they are kept."""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._judge import MATTERS, is_better
from monochord.maps import AbstractMap, mapped

MAX_ROUNDS = 2  # of learning a map; the second learns from draws that have been where the first could not go
MOST = 0.9  # of the coordinates: 71 to 91 of 176 with slopes of 85 groups, centred or not, where maps did not pay; 99 of a funnel's 100
# A map's fit may cost that share of what the linear one did, and always so many gradients: funnels, Rosenbrock's pairs and centred
# eight schools need less than 2,000, and one that goes on (slopes without centring: 10,000) has come to nothing
DEAR, LEAST = 0.5, 3_000


class _TooDear(Exception):
    """Ends a map's fit; `cost` is what it had spent."""

    def __init__(self, cost: Cost):
        super().__init__()
        self.cost = cost


def allowance(linear: FitResult) -> float | int:
    """Gradients that a fit along a map may cost."""
    return max(DEAR * linear.cost.gradients, LEAST)


def fitted(key: Key, target, along: AbstractMap, algorithm, callback, allowed) -> tuple[FitResult | None, Cost]:
    """The fit in the coordinates of a map, None where it cost more than `allowed`; and what it cost."""
    found, cost = run(key, mapped(target, along), algorithm, callback, allowed)
    return (None if found is None else dataclasses.replace(found, map=along)), cost


def begun(
    key: Key, target, learned: tuple[AbstractMap, Gaussian], linear, algorithm, callback
) -> tuple[FitResult | None, Cost]:
    """The fit along a map that begins with a given Gaussian there, None where it cost too much; and what it costs."""
    along, start = learned
    from_there = dataclasses.replace(algorithm, start=start)
    return fitted(key, target, along, from_there, callback, allowance(linear))


def run(key: Key, target, algorithm, callback, allowed) -> tuple[FitResult | None, Cost]:
    try:
        found = fits.run(key, target, algorithm, callback=callback, checkpoint=_limited(allowed))
    except _TooDear as ended:
        return None, ended.cost
    return found, found.cost


def _limited(most: float | int) -> Callable[[fits.Checkpoint], None]:
    def look(reached: fits.Checkpoint) -> None:
        if reached.state.cost.gradients > most:
            raise _TooDear(reached.state.cost)

    return look


def judged(key: Key, target, found: FitResult | None, linear: FitResult, cost: Cost) -> tuple[FitResult, Cost]:
    """The better of both; and `cost` with that of the comparison."""
    if found is None:
        return linear, cost
    pays, spent = is_better(key, target, found, linear)
    return (found if pays else linear), cost + spent


def learned_by(learn: Callable, fit: FitResult, *more):
    """What `learn` makes of the draws of a fit; no map where its regressions fail."""
    assert fit.gaussian is not None and fit.draws is not None
    try:
        with np.errstate(all="ignore"):
            return learn(fit.gaussian, fit.draws, *more)
    except np.linalg.LinAlgError:
        return None


def leaves_out(linear: FitResult, count: int) -> bool:
    """Whether a map of `count` coordinates and drivers of theirs is too little of such a target."""
    if linear.verdict != "start only" or linear.score_residual is None or linear.score_residual.value > MATTERS:
        return False
    return count < MOST * len(linear.names)
