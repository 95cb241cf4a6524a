"""Fits in the coordinates of a map: what they may cost, and whether they are kept."""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._judge import FINISHED, MATTERS, is_better
from monochord.maps import AbstractMap, SliceTarget, mapped
from monochord.metrics import DenseMetric

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


def fitted_rest(key: Key, target, along, algorithm, callback, linear) -> tuple[FitResult | None, Cost]:
    """The fit of the coordinates in no block, and standard Gaussians of the others; None where it comes to nothing; and its cost."""
    there, free = mapped(target, along), along.left
    allowed = allowance(linear)
    anew = dataclasses.replace(algorithm, start=None)  # one given is of all coordinates
    rest, cost = run(fold_key(key, 0), SliceTarget.of(there, free), anew, callback, allowed)
    if rest is None or rest.status not in FINISHED or rest.gaussian is None:
        return None, cost
    given = fits.Given(with_standard(rest.gaussian, free, along.dim))
    found, spent = fitted(fold_key(key, 1), target, along, given, callback, allowed)
    return (None if found is None else dataclasses.replace(found, status=rest.status)), cost + spent


def with_standard(gaussian: Gaussian, free: np.ndarray, dim: int) -> Gaussian:
    """`gaussian` at the coordinates `free`, and a standard one of all others."""
    mean, covariance = np.zeros(dim), np.eye(dim)
    mean[free] = gaussian.mean
    covariance[np.ix_(free, free)] = gaussian.metric.dense()
    return Gaussian(mean, DenseMetric.from_covariance(covariance))


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
