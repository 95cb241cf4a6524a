"""Which fits ask for a map, and whether a fit along one should take their place.

The fit in the coordinates of a map is judged as every fit is. Its ELBO is that of the same posterior, so the two compare;
but a higher ELBO is no sign of cheaper sampling: on non-centred eight schools maps with ELBOs 1.3 and 2.3 nats higher
cost 2.6 and 14 times as much. So a map is looked for only where the linear metric is known to do badly, and it replaces a linear
fit that may still serve as a start only where the verdict is better, or the cost functional says so off the fit.
"""

import numpy as np

from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.estimate import Estimate
from monochord.fits import FitResult, FitStatus
from monochord.maps import Turning, mapped
from monochord.maps._turning import MAX_DIM
from monochord.sampling import moved_points
from monochord.spectra import cost_functional
from monochord.spectra._verdict import START_RESIDUAL, WIDE_RADIUS
from monochord.targets import AbstractTarget, Evaluations

CLEARLY = 3.0  # joint standard errors of the ELBOs
WORTH = 0.3  # nats: less is no reason for another set of coordinates
# Centred eight schools .23–.33 at 1.0 indefinite (linear runs end at their limit), non-centred .06–.9 at 0 to .5 (linear runs
# of 8 thousand gradients); centred slopes of 85 groups .02, one coordinate .3 and more, at 1.0 (limit)
MATTERS, MATTERS_COORDINATE = 0.1, 0.3  # score residual, and that of one coordinate, from which on a fit asks for more
LOOKED_AT = 0.5  # unexplained share of one coordinate from which on the closing check looks at Hessians
MANY_INDEFINITE = 0.75  # of the draws' Hessians; below it linear fits that are no more than a start have done well
# Standard errors: non-centred eight schools are refused in 5 of 121 seeds, by one draw in the tail (2.0 ± 1.8)
FIRM = 2.0
NUM_PROBES = 64
# Ratios: of predicted costs, which must also pass one standard error, and of the worst coordinates. Maps of centred eight
# schools: 1.6 to 2.6 with errors of .3 to .6, the predicted cost blind to the neck; the worst coordinate fell 1.8 to 5.4 times
CHEAPER, FALLS = 1.25, 1.5
# Of the draws' Hessians still indefinite, where nearly all were: then one worst coordinate is no objection
STRAIGHTENED = 0.5
# Share of a typical score left by linear regressions, and the ratio by which drivers must lower it. GARCH .03 to .09 and 9 (half the
# gradients to chains along the map, and as many to find it), Lotka–Volterra .1 to .2 and 2 to 4, non-centred eight schools .003 to .02 and 3 to 18
TYPICAL, EXPLAINS = 0.04, 15.0
FINISHED = (FitStatus.converged, FitStatus.settled)
RANK = ("do not use", "start only", "trust")


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
    return fit.verdict == "start only" and (turns_over and leaves_much(fit) or nearly_refused and is_firm)


def wants_products(fit: FitResult) -> bool:
    """Whether a map of products is looked for: where one is asked for, and where a fit is refused, if by one draw: products are told by an
    identity of all scores, which does not hold by chance.
    """
    return wants_map(fit) or (fit.status in FINISHED and fit.draws is not None and fit.verdict == "do not use")


def wants_radius(fit: FitResult) -> bool:
    """Whether a fit that came to an end doubts itself and may have heavy tails: they were seen along rays, or not looked for.

    They are looked for where the residual is small, and fits with light tails are then left alone.
    """
    if fit.status not in FINISHED or fit.draws is None or fit.gaussian is None or fit.verdict == "trust":
        return False
    return fit.radial_spread is None or fit.radial_spread.value > WIDE_RADIUS


def wants_tails(fit: FitResult) -> bool:
    """Whether a fit that came to an end doubts itself. Whether single coordinates are the reason is read off its draws."""
    return fit.status in FINISHED and fit.draws is not None and fit.gaussian is not None and fit.verdict != "trust"


def wants_blocks(fit: FitResult) -> bool:
    """Whether a fit asks for a map of blocks: where it asks for a map, and where one coordinate stands out whose curvature was not looked at."""
    if wants_map(fit):
        return True
    if fit.status not in FINISHED or fit.verdict != "start only" or fit.draws is None or fit.worst_coordinate is None:
        return False
    return fit.indefinite_share is None and fit.worst_coordinate[1].value > MATTERS_COORDINATE


def wants_turning(fit: FitResult, turning: Turning) -> bool:
    """Whether a fit asks for a map whose axes turn: where it asks for a map, and where drivers would explain nearly all of the much it leaves."""
    if not 3 <= len(fit.names) <= MAX_DIM:
        return False
    if wants_map(fit):
        return True
    if fit.status not in FINISHED or fit.verdict == "trust" or not turning.drivers:
        return False
    return turning.plain > TYPICAL and turning.plain > EXPLAINS * turning.left


def leaves_much(fit: FitResult) -> bool:
    residual, worst = fit.score_residual, fit.worst_coordinate
    if residual is None or residual.value > MATTERS:
        return True
    return worst is not None and worst[1].value > MATTERS_COORDINATE


def is_better(key: Key, target: AbstractTarget, fit: FitResult, than: FitResult) -> tuple[bool, Cost]:
    """Whether `fit`, along a map, should take the place of `than`, and what it cost to say.

    It should under a better verdict, unless its ELBO is clearly lower. Under the same verdict a refused fit gives way to a
    clearly higher ELBO; any other only if its worst coordinate is clearly better, or its curvature no longer turns over where nearly all did, and
    its predicted cost off both fits is lower.
    """
    if fit.status not in FINISHED or fit.elbo is None or than.elbo is None:
        return False, Cost()
    gain, noise = _gain(fit.elbo, than.elbo)
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


def is_better_at(points: Evaluations, pulled: Evaluations, fit: FitResult, than: FitResult) -> bool:
    """Whether `fit`, along a map, should take the place of `than`, where `points` have left both; `pulled` are they in its coordinates.

    Its verdict must not be worse nor its ELBO clearly lower, and the cost functional there must say so: `CHEAPER` times, and by two
    standard errors.
    """
    if (
        fit.status not in FINISHED
        or fit.gaussian is None
        or than.gaussian is None
        or fit.elbo is None
        or than.elbo is None
    ):
        return False
    gain, noise = _gain(fit.elbo, than.elbo)
    if RANK.index(fit.verdict) < RANK.index(than.verdict) or gain < -noise:
        return False
    new, old = cost_functional(fit.gaussian.metric, pulled), cost_functional(than.gaussian.metric, points)
    return bool(np.log(old.value / new.value) > max(2.0 * _log_error(old, new), np.log(CHEAPER)))


def gains(fit: FitResult, than: FitResult) -> bool:
    """Whether the ELBO is clearly higher."""
    assert fit.elbo is not None and than.elbo is not None
    gain, noise = _gain(fit.elbo, than.elbo)
    return bool(gain > max(WORTH, noise))


def loses(fit: FitResult, than: FitResult) -> bool:
    """Whether the ELBO is clearly lower."""
    assert fit.elbo is not None and than.elbo is not None
    gain, noise = _gain(fit.elbo, than.elbo)
    return bool(gain < -noise)


def _gain(new: Estimate, old: Estimate) -> tuple[float, float]:
    """By how much an ELBO is higher, and what its difference must exceed to be clear."""
    return new.value - old.value, float(CLEARLY * np.hypot(new.standard_error, old.standard_error))


def _is_straightened(fit: FitResult, than: FitResult) -> bool:
    """Whether the curvature turned over at nearly all draws of `than`, and does so no more, or leaves too little to be looked at."""
    now, then = fit.indefinite_share, than.indefinite_share
    if then is None or then.value < MANY_INDEFINITE:
        return False
    return now.value < STRAIGHTENED if now is not None else not _is_worth_a_look(fit)


def _is_worth_a_look(fit: FitResult) -> bool:
    """Whether so much of the score is left that the closing check looks at Hessians."""
    residual, worst = fit.score_residual, fit.worst_coordinate
    return residual is None or worst is None or residual.value > MATTERS or worst[1].value > LOOKED_AT


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
    return bool(log_ratio > max(_log_error(old, new), np.log(CHEAPER))), total


def _log_error(old: Estimate, new: Estimate) -> float:
    """Standard error of the log ratio of two estimates."""
    return float(np.hypot(old.standard_error / old.value, new.standard_error / new.value))
