"""A map where the linear fit asks for one: learned from the fit's own draws, the simplest that pays, all of its cost charged."""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._judge import (
    FINISHED,
    MATTERS,
    gains,
    is_better,
    leaves_much,
    wants_blocks,
    wants_map,
    wants_radius,
)
from monochord.mapping._products import along_products
from monochord.maps import AbstractMap, Parents, SliceTarget, block_map, couplings, learned_map, mapped, radial_map
from monochord.metrics import DenseMetric, identity_metric
from monochord.targets import AbstractTarget, HostTarget, evaluate, idle_lanes

RADIUS, BLOCKS, PRODUCTS = 10, 20, 30  # their keys stand apart from those of rounds
MAX_ROUNDS = 2  # the second learns from draws that have been where the first could not go
MOST = 0.9  # of the coordinates: 71 to 91 of 176 with slopes of 85 groups, centred or not, where maps did not pay; 99 of a funnel's 100
# A map's fit may cost that share of what the linear one did, and always so many gradients: funnels, Rosenbrock's pairs and centred
# eight schools need less than 2,000, and one that goes on (slopes without centring: 10,000) has come to nothing
DEAR, LEAST = 0.5, 3_000
EXACT = 1e-6  # unexplained share of a coordinate's score: regressions of what is of their form leave 1e-12 and less


class _TooDear(Exception):
    """Ends a map's fit; `cost` is what it had spent."""

    def __init__(self, cost: Cost):
        super().__init__()
        self.cost = cost


def with_map(
    key: Key, target: AbstractTarget, linear: FitResult, algorithm: fits.AbstractFit, callback: Callable
) -> FitResult:
    """The best of `linear` and of fits in the coordinates of learned maps, with the cost of all.

    Learning spends nothing; each further fit, the points of a second round and those that compare two fits are charged.
    Without structure in the points the linear fit comes back as it is, and so does that of a host target, whose functions
    lie outside JAX.
    """
    if linear.gaussian is None or isinstance(target, HostTarget):
        return linear
    best, cost = _along_radius(fold_key(key, RADIUS), target, linear, algorithm, callback)
    if best is linear and wants_map(linear):
        best, spent = along_products(
            fold_key(key, PRODUCTS), target, linear,
            lambda key, target, along: _fitted(key, target, along, algorithm, callback, max(DEAR * linear.cost.gradients, LEAST)),
        )  # fmt: skip
        cost = cost + spent
    if best is linear and wants_map(linear):
        best, spent = _along_conditionals(key, target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear and wants_blocks(linear):
        best, spent = _along_blocks(fold_key(key, BLOCKS), target, linear, algorithm, callback)
        cost = cost + spent
    return dataclasses.replace(best, cost=cost)


def _along_radius(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of a Student-t, if one explains the scores and that fit is better, or `linear`; and the cost.

    In the coordinates of such a map the target is close to a standard Gaussian: the fit begins there, without a search.
    """
    along = _found(radial_map, linear) if wants_radius(linear) and isinstance(algorithm, fits.Staged) else None
    if along is None:
        return linear, linear.cost
    standard = Gaussian(np.zeros(along.dim), identity_metric(along.dim))
    begun = dataclasses.replace(algorithm, start=standard)
    found, cost = _fitted(key, target, along, begun, callback, max(DEAR * linear.cost.gradients, LEAST))
    cost = linear.cost + cost
    if found is None:
        return linear, cost
    pays, spent = is_better(fold_key(key, MAX_ROUNDS), target, found, linear)
    return (found if pays else linear), cost + spent


def _along_blocks(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of blocks, where one is found and is better, or `linear`; and what it costs.

    The blocks are standard Gaussian given the rest. What is fitted is the rest alone, with the blocks held at zero: the mean residual of
    all coordinates would call a fit good whose few hyperparameters are far off. Where the blocks are Gaussian to rounding, what is left is as
    hard as the marginal of the rest, which every sampler must cross: no cost is predicted then, and a clear gain in ELBO is enough.
    """
    best, cost, points, is_exact = None, Cost(), None, False
    for number in range(MAX_ROUNDS):
        along = _found(block_map, linear, points)
        if along is None or _leaves_out(linear, along.num_moved + len(along.scale_drivers) + len(along.drivers)):
            break
        found, spent = _along_block(fold_key(key, 2 * number), target, along, algorithm, callback, linear)
        cost = cost + spent
        if found is None or found.draws is None or found.elbo is None:
            break
        if best is None or best.elbo is None or found.elbo.value > best.elbo.value:
            best, is_exact = found, _is_exact(found, along.left)
        if is_exact or number + 1 == MAX_ROUNDS:
            break
        points = evaluate(target, along.place(found.draws.x))
        cost = cost + Cost(len(points.x), idle_lanes(len(points.x)))
    if best is None:
        return linear, cost
    if is_exact and best.verdict == linear.verdict == "start only":
        return (best if gains(best, linear) else linear), cost
    pays, spent = is_better(fold_key(key, 2 * MAX_ROUNDS), target, best, linear)
    return (best if pays else linear), cost + spent


def _along_block(key: Key, target, along, algorithm, callback, linear) -> tuple[FitResult | None, Cost]:
    """The fit of the coordinates in no block, and standard Gaussians of the others; None where it comes to nothing; and its cost."""
    there, free = mapped(target, along), along.left
    allowed = max(DEAR * linear.cost.gradients, LEAST)
    rest, cost = _run(fold_key(key, 0), SliceTarget.of(there, free), algorithm, callback, allowed)
    if rest is None or rest.status not in FINISHED or rest.gaussian is None:
        return None, cost
    given = fits.Given(_with_standard(rest.gaussian, free, along.dim))
    found, spent = _fitted(fold_key(key, 1), target, along, given, callback, allowed)
    return (None if found is None else dataclasses.replace(found, status=rest.status)), cost + spent


def _is_exact(fit: FitResult, free: np.ndarray) -> bool:
    """Whether the coordinates but `free` are independent standard Gaussians to rounding: then only the marginal of `free` is left."""
    assert fit.gaussian is not None
    if fit.draws is None or not np.all(fit.draws.finite()):
        return False
    residuals = fits.coordinate_residuals(fit.gaussian, fit.draws).mean(0)
    return bool(np.max(np.delete(residuals, free), initial=0.0) < EXACT)


def _with_standard(gaussian: Gaussian, free: np.ndarray, dim: int) -> Gaussian:
    """`gaussian` at the coordinates `free`, and a standard one of all others."""
    mean, covariance = np.zeros(dim), np.eye(dim)
    mean[free] = gaussian.mean
    covariance[np.ix_(free, free)] = gaussian.metric.dense()
    return Gaussian(mean, DenseMetric.from_covariance(covariance))


def _found(learn: Callable, fit: FitResult, *points):
    """What `learn` makes of the draws of a fit; no map where its regressions fail."""
    assert fit.gaussian is not None and fit.draws is not None
    try:
        with np.errstate(all="ignore"):
            return learn(fit.gaussian, fit.draws, *points)
    except np.linalg.LinAlgError:
        return None


def _along_conditionals(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
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
        allowed = max(DEAR * linear.cost.gradients, LEAST)
        found, spent = _fitted(fold_key(key, number), target, along, algorithm, callback, allowed)
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


def _fitted(key: Key, target, along: AbstractMap, algorithm, callback, allowed) -> tuple[FitResult | None, Cost]:
    """The fit in the coordinates of a map, None where it cost more than `allowed`; and what it cost."""
    found, cost = _run(key, mapped(target, along), algorithm, callback, allowed)
    return (None if found is None else dataclasses.replace(found, map=along)), cost


def _run(key: Key, target, algorithm, callback, allowed) -> tuple[FitResult | None, Cost]:
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
    return _leaves_out(linear, len(driving | set(parents)))


def _leaves_out(linear: FitResult, count: int) -> bool:
    """Whether a map of `count` coordinates and drivers of theirs is too little of such a target."""
    if linear.verdict != "start only" or linear.score_residual is None or linear.score_residual.value > MATTERS:
        return False
    return count < MOST * len(linear.names)


def _adds(parents: dict[int, Parents], known: dict[int, Parents]) -> bool:
    """Whether a coordinate has drivers of its scale or curvature that it had not."""
    return any(
        i not in known or set(own.scale) - set(known[i].scale) or set(own.curved) - set(known[i].curved)
        for i, own in parents.items()
    )
