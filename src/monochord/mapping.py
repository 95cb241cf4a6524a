"""A map where the linear fit asks for one: learned from the fit's own draws, kept only where it pays.

The fit in the coordinates of a map is judged as every fit is. Its ELBO is that of the same posterior, so the two compare;
but a higher ELBO is no sign of cheaper sampling: on non-centred eight schools maps with ELBOs 1.3 and 2.3 nats higher
cost 2.6 and 14 times as much. So a map is looked for only where the linear metric is known to do badly, and it replaces a linear
fit that may still serve as a start only where the verdict is better, or the cost functional says so off the fit.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.estimate import Estimate
from monochord.fits import FitResult, FitStatus
from monochord.gaussian import Gaussian
from monochord.maps import AbstractMap, Parents, SliceTarget, block_map, couplings, learned_map, mapped, radial_map
from monochord.metrics import DenseMetric, identity_metric
from monochord.sampling import moved_points
from monochord.spectra import cost_functional
from monochord.spectra._verdict import START_RESIDUAL, WIDE_RADIUS
from monochord.targets import AbstractTarget, HostTarget, evaluate, idle_lanes

RADIUS, BLOCKS = 10, 20  # their keys stand apart from those of rounds
MAX_ROUNDS = 2  # the second learns from draws that have been where the first could not go
CLEARLY = 3.0  # joint standard errors of the ELBOs
WORTH = 0.3  # nats: less is no reason for another set of coordinates
# Centred eight schools .23–.33 at 1.0 indefinite (linear runs end at their limit), non-centred .06–.9 at 0 to .5 (linear runs
# of 8 thousand gradients); centred slopes of 85 groups .02, one coordinate .3 and more, at 1.0 (limit)
MATTERS, MATTERS_COORDINATE = 0.1, 0.3  # score residual, and that of one coordinate, from which on a fit asks for more
MANY_INDEFINITE = 0.75  # of the draws' Hessians; below it linear fits that are no more than a start have done well
FIRM = (
    2.0  # standard errors: non-centred eight schools are refused in 5 of 121 seeds, by one draw in the tail (2.0 ± 1.8)
)
MOST = 0.9  # of the coordinates: 71 to 91 of 176 with slopes of 85 groups, centred or not, where maps did not pay; 99 of a funnel's 100
NUM_PROBES = 64
# Maps of centred eight schools: 1.6 to 2.6 with errors of .3 to .6, the predicted cost blind to the neck; the worst coordinate
# fell 1.8 to 5.4 times
CHEAPER, FALLS = (
    1.25,
    1.5,
)  # ratios: of predicted costs, which must also pass one standard error, and of the worst coordinates
STRAIGHTENED = (
    0.5  # of the draws' Hessians still indefinite, where nearly all were: then one worst coordinate is no objection
)
# A map's fit may cost that share of what the linear one did, and always so many gradients: funnels, Rosenbrock's pairs and centred
# eight schools need less than 2,000, and one that goes on (slopes without centring: 10,000) has come to nothing
DEAR, LEAST = 0.5, 3_000
EXACT = 1e-6  # unexplained share of a coordinate's score: regressions of what is of their form leave 1e-12 and less
FINISHED = (FitStatus.converged, FitStatus.settled)
RANK = ("do not use", "start only", "trust")


class _TooDear(Exception):
    """Ends a map's fit; `cost` is what it had spent."""

    def __init__(self, cost: Cost):
        super().__init__()
        self.cost = cost


def in_coordinates_of(target: AbstractTarget, fit: FitResult | None) -> AbstractTarget:
    """`target`, along the map of `fit` where it has one."""
    return mapped(target, fit.map) if fit is not None and fit.map is not None else target


def wants_map(fit: FitResult) -> bool:
    """Whether a fit asks for more: it came to an end, and is refused or nearly so, or its curvature turns over nearly everywhere.

    In the last case it must also leave some of the score unexplained; in the others one far draw alone is no reason. A trusted
    fit never asks.
    """
    if fit.status not in FINISHED or fit.draws is None or fit.score_residual is None:
        return False
    share, residual = fit.indefinite_share, fit.score_residual
    turns_over = share is not None and share.value >= MANY_INDEFINITE
    if fit.verdict == "do not use":
        return turns_over or residual.value > FIRM * residual.standard_error
    nearly_refused = residual.value + 2.0 * residual.standard_error > START_RESIDUAL
    is_firm = residual.value > 2.0 * FIRM * residual.standard_error
    return fit.verdict == "start only" and (turns_over and _leaves_much(fit) or nearly_refused and is_firm)


def wants_radius(fit: FitResult) -> bool:
    """Whether a fit that came to an end doubts itself and may have heavy tails: they were seen along rays, or not looked for.

    They are looked for where the residual is small, and fits with light tails are then left alone.
    """
    if fit.status not in FINISHED or fit.draws is None or fit.gaussian is None or fit.verdict == "trust":
        return False
    return fit.radial_spread is None or fit.radial_spread.value > WIDE_RADIUS


def wants_blocks(fit: FitResult) -> bool:
    """Whether a fit asks for a map of blocks: where it asks for a map, and where one coordinate stands out whose curvature was not looked at."""
    if wants_map(fit):
        return True
    if fit.status not in FINISHED or fit.verdict != "start only" or fit.draws is None or fit.worst_coordinate is None:
        return False
    return fit.indefinite_share is None and fit.worst_coordinate[1].value > MATTERS_COORDINATE


def _leaves_much(fit: FitResult) -> bool:
    residual, worst = fit.score_residual, fit.worst_coordinate
    if residual is None or residual.value > MATTERS:
        return True
    return worst is not None and worst[1].value > MATTERS_COORDINATE


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
        return (best if _gains(best, linear) else linear), cost
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


def _gains(fit: FitResult, than: FitResult) -> bool:
    """Whether the ELBO is clearly higher."""
    assert fit.elbo is not None and than.elbo is not None
    noise = CLEARLY * np.hypot(fit.elbo.standard_error, than.elbo.standard_error)
    return bool(fit.elbo.value - than.elbo.value > max(WORTH, noise))


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
        if number + 1 == MAX_ROUNDS or best.verdict == "trust" or not _leaves_much(best) or latest.draws is None:
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


def is_better(key: Key, target: AbstractTarget, fit: FitResult, than: FitResult) -> tuple[bool, Cost]:
    """Whether `fit`, along a map, should take the place of `than`, and what it cost to say.

    It should under a better verdict, unless its ELBO is clearly lower. Under the same verdict a refused fit gives way to a
    clearly higher ELBO; any other only if its worst coordinate is clearly better, or its curvature no longer turns over where nearly all did, and
    its predicted cost off both fits is lower.
    """
    if fit.status not in FINISHED or fit.elbo is None or than.elbo is None:
        return False, Cost()
    noise = CLEARLY * np.hypot(fit.elbo.standard_error, than.elbo.standard_error)
    gain = fit.elbo.value - than.elbo.value
    if RANK.index(fit.verdict) != RANK.index(than.verdict):
        return bool(RANK.index(fit.verdict) > RANK.index(than.verdict) and gain > -noise), Cost()
    if fit.verdict == "do not use":
        return bool(gain > max(WORTH, noise)), Cost()
    if fit.worst_coordinate is None or than.worst_coordinate is None or not gain > -noise:
        return False, Cost()
    falls = fit.worst_coordinate[1].value < than.worst_coordinate[1].value / FALLS
    if not (falls or _is_straightened(fit, than)):
        return False, Cost()
    return _is_cheaper(key, target, fit, than)


def _is_straightened(fit: FitResult, than: FitResult) -> bool:
    """Whether the curvature turned over at nearly all draws of `than`, and does so no more, or no score left asks for a look."""
    now, then = fit.indefinite_share, than.indefinite_share
    return then is not None and then.value >= MANY_INDEFINITE and (now is None or now.value < STRAIGHTENED)


def _is_cheaper(key: Key, target: AbstractTarget, fit: FitResult, than: FitResult) -> tuple[bool, Cost]:
    """Whether C(M), on draws of each fit moved off it, is lower under `fit`: `CHEAPER` times, and by a standard error."""
    found: list[Estimate] = []
    total = Cost()
    for number, one in enumerate((fit, than)):
        assert one.gaussian is not None
        metric, there = one.gaussian.metric, in_coordinates_of(target, one)
        try:
            moved, cost = moved_points(fold_key(key, number), there, one.gaussian, metric, NUM_PROBES)
        except ModelError:
            return False, total
        total = total + cost
        found.append(cost_functional(metric, moved))
    new, old = found
    log_ratio = np.log(old.value / new.value)
    error = np.hypot(old.standard_error / old.value, new.standard_error / new.value)
    return bool(log_ratio > max(error, np.log(CHEAPER))), total
