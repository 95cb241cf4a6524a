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
from monochord.mapping._fitting import MAX_ROUNDS, allowance, begun, fitted_rest
from monochord.mapping._judge import FINISHED, RANK, gains, loses, wants_tails
from monochord.mapping._line import moments, seen_along
from monochord.maps import (
    BorderedMap,
    NodedMap,
    Terms,
    found_terms,
    given_other,
    hierarchical_map,
    mapped,
    node_values,
    with_rest,
)
from monochord.metrics import DiagonalMetric
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

MAX_DIM = 1000
LOOSE = 0.1  # standard deviation of the logarithm of a spread, as its scale moves through the posterior
FEW, LOOSE_OF_FEW = 8, 0.3  # of few there is less to gain: the noise of 16 observations of two coefficients moves by .2
SCALED = 0.1  # of the largest of these, from which on a coordinate counts as scaled by it
REACH = 4.0  # of logarithms of spreads, to either side, at which a scale is looked at first
FAR = 2.0  # times the distance of a fit's draws from its centre
MOST_EACH = 40  # gradients that a search may cost, by coordinate
NODES_REACH, NUM_NODES = 2.3, 7  # standard deviations of a given coordinate: nodes at 0, .7, 1.5 and 2.9 to either side
EXACT, NUM_CHECKED = 1e-5, 4  # of scores of unit size, and points where they are looked at
LOST = 1e-3  # of a precision: terms are told to 1e-6, some of them
LEFT = 0.1  # unexplained share of the scores of what a map moves, from which on it is learned again where it has led


class _TooDear(Exception):
    """Ends the search for terms."""


class _Counted:
    """Scores of a target, and what they have cost: `most` gradients, or it raises `_TooDear`."""

    def __init__(self, target: AbstractTarget, most: float | int = np.inf):
        self.target, self.most, self.cost = target, most, Cost()

    def __call__(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
        return self.evaluated(x).score

    def evaluated(self, x: Float[np.ndarray, "n dim"], along: BorderedMap | NodedMap | None = None) -> Evaluations:
        if self.cost.gradients + len(x) > self.most:
            raise _TooDear
        self.cost = self.cost + Cost(len(x), idle_lanes(len(x)))
        return evaluate(self.target if along is None else mapped(self.target, along), x)


class _Round(NamedTuple):
    """What is known before a map is made: terms at one or several values of what they are given, the size of a step, and points for
    what they leave.
    """

    nodes: tuple[Terms, ...]
    unit: Float[np.ndarray, " dim"]
    points: Evaluations


def along_hierarchy(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of what `found_terms` finds, where scales are free enough to matter, or `linear`; and what it costs.

    The map is kept unless its fit is judged worse and has a clearly lower ELBO: a linear fit sees nothing of the necks that terms have.
    Where terms are given a coordinate, or the coordinate that the linear fit explains worst is none that the map knows of, it must not be
    judged worse and have a clearly higher one.
    """
    if not wants_tails(linear) or len(linear.names) > MAX_DIM:
        return linear, Cost()
    score = _Counted(target, MOST_EACH * len(linear.names) + allowance(linear))
    with np.errstate(all="ignore"):
        best, is_given, spent = _best(key, score, linear, algorithm, callback)
    cost = score.cost + spent
    if best is None:
        return linear, cost
    if is_given or _lies_elsewhere(linear, best):
        keeps = RANK.index(best.verdict) >= RANK.index(linear.verdict) and gains(best, linear)
    else:
        keeps = RANK.index(best.verdict) >= RANK.index(linear.verdict) or not loses(best, linear)
    return (best if keeps else linear), cost


def _lies_elsewhere(linear: FitResult, fit: FitResult) -> bool:
    assert isinstance(fit.map, BorderedMap | NodedMap)
    worst = linear.worst_coordinate
    return worst is not None and linear.names.index(worst[0]) not in {*fit.map.moved, *np.asarray(fit.map.scales)}


def _best(key: Key, score: _Counted, linear: FitResult, algorithm, callback) -> tuple[FitResult | None, bool, Cost]:
    """The better fit of the rounds, if any; whether terms are given a coordinate; and what the fits cost.

    A round that the model ends, or Ctrl-C, ends the search.
    """
    best, is_given, cost, made, known = None, False, Cost(), None, None
    for number in range(MAX_ROUNDS):
        own = fold_key(key, number)
        try:
            known = _known(own, score, linear, known, made)
            along = hierarchical_map(known.nodes, known.points) if known is not None else None
            start = _start(score, along, known.unit) if known is not None and along is not None else None
            if known is None or along is None or start is None:
                break
            is_plain = _is_exact(own, score, along, start)
        except (ModelError, np.linalg.LinAlgError, KeyboardInterrupt, _TooDear):
            break
        if is_plain:
            made, spent = fitted_rest(own, score.target, along, algorithm, callback, linear)
        else:
            made, spent = begun(own, score.target, (along, start), linear, algorithm, callback)
        cost = cost + spent
        if made is None or not _is_usable(made, along):
            break
        if best is None or _elbo(made) > _elbo(best):
            best, is_given = made, bool(known.nodes[0].given)
        if not _leaves(made, along) and (is_plain or not _is_lost(known.nodes[0])):
            break
    return best, is_given, cost


def _elbo(fit: FitResult) -> float:
    assert fit.elbo is not None
    return fit.elbo.value


def _is_usable(fit: FitResult, along: BorderedMap | NodedMap) -> bool:
    """Whether a fit came to an end, and the map holds twice as far from its centre as its draws are."""
    if fit.status not in FINISHED or fit.elbo is None or fit.draws is None or fit.gaussian is None:
        return False
    mean = np.asarray(fit.gaussian.mean)
    return bool(np.all(along.is_sound(mean + FAR * (fit.draws.x - mean))))


def _known(
    key: Key, score: _Counted, linear: FitResult, before: _Round | None, made: FitResult | None
) -> _Round | None:
    """What is known around the linear fit; or, in a second round, where the map has led."""
    if before is None or made is None or made.map is None or made.draws is None:
        return _first(key, score, linear)
    return _again(key, score, before, np.asarray(made.map.place(made.draws.x)))


def _first(key: Key, score: _Counted, linear: FitResult) -> _Round | None:
    assert linear.gaussian is not None and linear.draws is not None
    unit = np.sqrt(np.asarray(linear.gaussian.metric.diagonal()))
    return _anew(key, score, np.asarray(linear.gaussian.mean), unit, linear.draws)


def _anew(key: Key, score: _Counted, center, unit: Float[np.ndarray, " dim"], points: Evaluations) -> _Round | None:
    """Terms, at several values of a coordinate if they are given one."""
    found = found_terms(score, center, unit, host_generator(key))
    if found is None:
        return None
    if len(found.given) != 1:
        return _Round((found,), unit, points)
    (given,) = found.given
    values = node_values(center[given], NODES_REACH * unit[given], NUM_NODES)
    return _Round(tuple(given_other(score, found, unit, values)), unit, points)


def _again(key: Key, score: _Counted, known: _Round, x: Float[np.ndarray, "n dim"]) -> _Round | None:
    """Where the map has led: exact terms are known there, others are looked for anew, and so are those that hid all else."""
    center, unit, points = x.mean(0), x.std(0), score.evaluated(x)
    found = known.nodes[0]
    anew = _anew(key, score, center, unit, points) if found.given or _is_lost(found) else None
    if found.given or anew is not None:
        return anew
    return _Round((with_rest(score, found.moved_to(center), unit),), unit, points)


def _is_lost(found: Terms) -> bool:
    """Whether terms are so large where they were told that what they leave is rounding beside them: the linear fit lay deep in a neck."""
    terms = np.sum([np.diag(term.precision) for term in found.terms], axis=0)[found.members]
    return bool(np.any(np.abs(np.diag(found.rest)[found.members]) < LOST * terms))


def _start(score: _Counted, along: BorderedMap | NodedMap, unit: Float[np.ndarray, " dim"]) -> Gaussian | None:
    """Where a fit along the map begins; None where no scale moves the logarithms of the spreads of what it scales by `LOOSE`, or the map
    ends before the posterior does.
    """
    mean, deviation = np.array(along.center), np.array(unit)
    mean[along.moved], deviation[along.moved] = 0.0, 1.0
    is_loose = False
    for row, j in enumerate(np.asarray(along.scales)):
        reach = REACH * 2.0 / np.max(np.abs(along.exponents[:, row]))
        found = seen_along(_look(score, along, mean, int(j)), float(mean[j]), float(reach))
        if found is None:
            return None
        mean[j], deviation[j] = moments(*found)
        moves = moments(along.log_spreads(_with(mean, int(j), found[0])), found[1])[1]
        scaled = moves[moves > SCALED * np.max(moves)]
        is_loose = is_loose or np.mean(scaled) > (LOOSE if len(scaled) >= FEW else LOOSE_OF_FEW)
    return Gaussian(mean, DiagonalMetric(deviation)) if is_loose else None


def _look(score: _Counted, along: BorderedMap | NodedMap, mean, j: int):
    """The density along a scale, with all that the map moves at its centre: the marginal one, as far as the map is exact."""

    def look(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = _with(mean, j, values)
        return score.evaluated(u, along).log_density, along.is_sound(u)

    return look


def _with(mean: Float[np.ndarray, " dim"], j: int, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n dim"]:
    u = np.tile(mean, (len(values), 1))
    u[:, j] = values
    return u


def _is_exact(key: Key, score: _Counted, along: BorderedMap | NodedMap, start: Gaussian) -> bool:
    """Whether what is moved is a standard Gaussian given the rest, at a few points."""
    u = start.sample(host_generator(key), NUM_CHECKED)
    pulled = score.evaluated(u, along).score[:, along.moved]
    return bool(np.all(np.abs(pulled + u[:, along.moved]) < EXACT))


def _leaves(fit: FitResult, along: BorderedMap | NodedMap) -> bool:
    """Whether the scores of what a map moves are not those of a Gaussian."""
    assert fit.gaussian is not None and fit.draws is not None
    residuals = fits.coordinate_residuals(fit.gaussian, fit.draws).mean(0)
    return bool(np.max(residuals[along.moved], initial=0.0) > LEFT)
