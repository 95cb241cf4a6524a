"""Maps of hierarchies whose terms are told exactly: groups given their scales, walks, effects with a correlation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord import fits
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._fitting import MAX_ROUNDS, begun, fitted_rest
from monochord.mapping._judge import FINISHED, RANK, gains, wants_tails
from monochord.maps import BorderedMap, Terms, found_terms, hierarchical_map, mapped, with_rest
from monochord.metrics import DiagonalMetric
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

MAX_DIM = 1000
LOOSE = 0.1  # standard deviation of the logarithm of a spread, as its scale moves through the posterior
REACH, NUM_PLACES = 4.0, 33  # of logarithms of spreads, to either side, at which a scale is looked at
EXACT, NUM_CHECKED = 1e-5, 4  # of scores of unit size, and points where they are looked at
LEFT = 0.1  # unexplained share of the scores of what a map moves, from which on it is learned again where it has led


class _Counted:
    """Scores of a target, and what they have cost."""

    def __init__(self, target: AbstractTarget):
        self.target, self.cost = target, Cost()

    def __call__(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
        return self.evaluated(x).score

    def evaluated(self, x: Float[np.ndarray, "n dim"], along: BorderedMap | None = None) -> Evaluations:
        self.cost = self.cost + Cost(len(x), idle_lanes(len(x)))
        return evaluate(self.target if along is None else mapped(self.target, along), x)


class _Round(NamedTuple):
    """What is known before a map is made: terms, the size of a step, and points for what the terms leave."""

    found: Terms
    unit: Float[np.ndarray, " dim"]
    points: Evaluations


def along_hierarchy(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of what `found_terms` finds, where scales are free enough to matter, or `linear`; and what it costs.

    Where all is told exactly the map is kept unless its fit is judged worse: a linear fit sees nothing of the necks that terms have. Where
    some is only given other coordinates, its ELBO must say so too.
    """
    if not wants_tails(linear) or len(linear.names) > MAX_DIM:
        return linear, Cost()
    score = _Counted(target)
    try:
        with np.errstate(all="ignore"):
            best, is_exact, spent = _best(key, score, linear, algorithm, callback)
    except (ModelError, np.linalg.LinAlgError):
        return linear, score.cost
    cost = score.cost + spent
    if best is None or RANK.index(best.verdict) < RANK.index(linear.verdict):
        return linear, cost
    return (best if is_exact or gains(best, linear) else linear), cost


def _best(key: Key, score: _Counted, linear: FitResult, algorithm, callback) -> tuple[FitResult | None, bool, Cost]:
    """The better fit of the rounds, if any; whether all terms are exact; and what the fits cost."""
    best, cost = None, Cost()
    known = _first(fold_key(key, 0), score, linear)
    for number in range(MAX_ROUNDS):
        along = hierarchical_map(known.found, known.points) if known is not None else None
        start = _start(score, along, known.unit) if known is not None and along is not None else None
        if known is None or along is None or start is None:
            break
        own = fold_key(key, number + 1)
        if _is_exact(own, score, along, start):
            made, spent = fitted_rest(own, score.target, along, algorithm, callback, linear)
        else:
            made, spent = begun(own, score.target, (along, start), linear, algorithm, callback)
        cost = cost + spent
        if made is None or made.status not in FINISHED or made.elbo is None or made.draws is None:
            break
        if best is None or best.elbo is None or made.elbo.value > best.elbo.value:
            best = made
        if number + 1 == MAX_ROUNDS or not _leaves(made, along):
            break
        known = _again(fold_key(key, MAX_ROUNDS + number + 1), score, known, along.place(made.draws.x))
    return best, known is not None and not known.found.given, cost


def _first(key: Key, score: _Counted, linear: FitResult) -> _Round | None:
    assert linear.gaussian is not None and linear.draws is not None
    unit = np.sqrt(np.asarray(linear.gaussian.metric.diagonal()))
    found = found_terms(score, np.asarray(linear.gaussian.mean), unit, host_generator(key))
    return None if found is None else _Round(found, unit, linear.draws)


def _again(key: Key, score: _Counted, known: _Round, x: Float[np.ndarray, "n dim"]) -> _Round | None:
    """Where the map has led: exact terms are known there, others are looked for anew."""
    center, unit, points = x.mean(0), x.std(0), score.evaluated(x)
    if known.found.given:
        found = found_terms(score, center, unit, host_generator(key))
        return None if found is None else _Round(found, unit, points)
    return _Round(with_rest(score, known.found.moved_to(center), unit), unit, points)


def _start(score: _Counted, along: BorderedMap, unit: Float[np.ndarray, " dim"]) -> Gaussian | None:
    """Where a fit along the map begins; None where no scale moves the logarithms of the spreads of what it scales by `LOOSE`.

    With all that the map moves at its centre, the density along a scale is the marginal one, as far as the map is exact.
    """
    mean, deviation = np.array(along.center), np.array(unit)
    mean[along.moved], deviation[along.moved] = 0.0, 1.0
    steps, is_loose = np.linspace(-REACH, REACH, NUM_PLACES), False
    for row, j in enumerate(np.asarray(along.scales)):
        u = np.tile(mean, (NUM_PLACES, 1))
        u[:, j] = along.center[j] + steps * 2.0 / np.max(np.abs(along.exponents[:, row]))
        density = score.evaluated(u, along).log_density
        density = np.where(np.isfinite(density), density, -np.inf)
        if not np.any(np.isfinite(density)):
            return None
        weight = np.exp(density - density.max())
        mean[j], deviation[j] = _moments(u[:, j], weight)
        is_loose = is_loose or np.mean(_moments(along.log_spreads(u), weight)[1]) > LOOSE
    return Gaussian(mean, DiagonalMetric(deviation)) if is_loose else None


def _moments(values: np.ndarray, weight: Float[np.ndarray, " n"]):
    """Means and standard deviations of weighted rows."""
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))


def _is_exact(key: Key, score: _Counted, along: BorderedMap, start: Gaussian) -> bool:
    """Whether what is moved is a standard Gaussian given the rest, at a few points."""
    u = start.sample(host_generator(key), NUM_CHECKED)
    pulled = score.evaluated(u, along).score[:, along.moved]
    return bool(np.all(np.abs(pulled + u[:, along.moved]) < EXACT))


def _leaves(fit: FitResult, along: BorderedMap) -> bool:
    """Whether the scores of what a map moves are not those of a Gaussian."""
    assert fit.gaussian is not None and fit.draws is not None
    residuals = fits.coordinate_residuals(fit.gaussian, fit.draws).mean(0)
    return bool(np.max(residuals[along.moved], initial=0.0) > LEFT)
