"""A map where the linear fit asks for one: learned from the fit's own draws, kept only where it pays.

The fit in the coordinates of a map is judged as every fit is; its ELBO is that of the same posterior, so the two compare.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult, FitStatus
from monochord.maps import couplings, learned_map, mapped
from monochord.targets import AbstractTarget, HostTarget, evaluate, idle_lanes

MAX_ROUNDS = 2  # the second learns from draws that have been where the first could not go
CLEARLY = 3.0  # joint standard errors of the ELBOs
MATTERS = 0.1  # score residual from which on a linear fit is visibly not Gaussian (the verdict's own limit)
WORTH = 0.3  # nats: less is no reason for another set of coordinates
FINISHED = (FitStatus.converged, FitStatus.settled)


def in_coordinates_of(target: AbstractTarget, fit: FitResult | None) -> AbstractTarget:
    """`target`, along the map of `fit` where it has one."""
    return mapped(target, fit.map) if fit is not None and fit.map is not None else target


def wants_map(fit: FitResult) -> bool:
    """Whether a linear fit asks for more: it came to an end, and is refused or leaves much of the score unexplained."""
    if fit.status not in FINISHED or fit.draws is None or fit.score_residual is None:
        return False
    return fit.verdict == "do not use" or (fit.verdict == "start only" and fit.score_residual.value > MATTERS)


def with_map(
    key: Key, target: AbstractTarget, linear: FitResult, algorithm: fits.AbstractFit, callback: Callable
) -> FitResult:
    """The best of `linear` and of fits in the coordinates of learned maps, with the cost of all.

    Learning spends nothing; each further fit and the points of a second round are charged. Without structure in the points
    the linear fit comes back as it is, and so does that of a host target, whose functions lie outside JAX.
    """
    if not wants_map(linear) or linear.gaussian is None or isinstance(target, HostTarget):
        return linear
    best, latest, cost = linear, linear, linear.cost
    points, known, coupling = linear.draws, None, None
    for number in range(MAX_ROUNDS):
        learned = _learned(latest, points, coupling, known)
        if learned is None:
            break
        along, known = learned
        latest = fits.run(fold_key(key, number), mapped(target, along), algorithm, callback=callback)
        cost = cost + latest.cost
        latest = dataclasses.replace(latest, map=along)
        if not is_better(latest, best):
            break
        best = latest
        if best.verdict == "trust" or latest.draws is None:
            break
        if number + 1 < MAX_ROUNDS:
            coupling = couplings(linear.gaussian)
            points = evaluate(target, along.place(latest.draws.x))
            cost = cost + Cost(len(points.x), idle_lanes(len(points.x)))
    return dataclasses.replace(best, cost=cost)


def _learned(fit: FitResult, points, coupling, known):
    """`learned_map`; no map where its regressions fail."""
    assert fit.gaussian is not None and fit.draws is not None
    try:
        with np.errstate(all="ignore"):
            return learned_map(fit.gaussian, fit.draws, points, coupling, known)
    except np.linalg.LinAlgError:
        return None


def is_better(fit: FitResult, than: FitResult) -> bool:
    """A better verdict, or a clearly higher ELBO under a verdict that is no worse."""
    rank = ["do not use", "start only", "trust"].index
    if fit.status not in FINISHED or fit.elbo is None or than.elbo is None:
        return False
    noise = np.hypot(fit.elbo.standard_error, than.elbo.standard_error)
    gain = fit.elbo.value - than.elbo.value
    if rank(fit.verdict) != rank(than.verdict):
        return bool(rank(fit.verdict) > rank(than.verdict) and gain > -CLEARLY * noise)
    return bool(gain > max(WORTH, CLEARLY * noise))
