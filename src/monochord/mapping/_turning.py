"""Maps whose axes turn with a few drivers: the rounds of their population, and whether the fit along them is kept."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.estimate import Estimate
from monochord.fits import FitResult, StepInfo
from monochord.mapping._fitting import LEAST, fitted
from monochord.mapping._fitting import MAX_ROUNDS as MAX_FITS
from monochord.mapping._judge import is_better_at, wants_turning
from monochord.mapping._population import POPULATION, Population, turning_at
from monochord.maps import CholeskyMap, Turning, mapped
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

MAX_ROUNDS = 14
FIRST_LOOK = 2  # rounds between looks for drivers
SETTLED = 2  # rounds for which the population must have stayed
POOR = 0.1  # share left of a typical coordinate's score, from which on drivers are looked for anew
WORTHWHILE = 0.3  # share left of a typical coordinate's score, up to which a fit along the map is made
COMPARED = 128  # points of a population, in both coordinates


def along_turning(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of one block, learned by a population it carries, or `linear`; and what it costs.

    The fit begins at the Gaussian of the population, without a search; and the population, which has left both fits, compares them.
    """
    turning = turning_of(linear)
    if not wants_turning(linear, turning) or not isinstance(algorithm, fits.Staged):
        return linear, Cost()
    population = carried(key, target, linear, turning.drivers, callback)
    best, cost = None, population.cost
    for number in range(MAX_FITS):
        if population.along is None or not population.left < WORTHWHILE:
            break
        begun = dataclasses.replace(algorithm, start=population.gaussian())
        found, spent = fitted(fold_key(key, number), target, population.along, begun, callback, LEAST)
        cost = cost + spent
        if found is None or found.draws is None or found.elbo is None:
            break
        if best is None or best.elbo is None or found.elbo.value > best.elbo.value:
            best = found
        population.absorb(found.draws)
        if number + 1 == MAX_FITS or not population.learn():
            break
    if best is None or best.map is None:
        return linear, cost
    x = population.recent()[-COMPARED:]
    points, pulled = evaluate(target, x), evaluate(mapped(target, best.map), best.map.inverse(x))
    cost = cost + Cost(2 * len(x), 2 * idle_lanes(len(x)))
    return (_with_doubt(best) if is_better_at(points, pulled, best, linear) else linear), cost


def _with_doubt(fit: FitResult) -> FitResult:
    """The fit, unless it is trusted with a reason that neither its own draws nor a run's ESS show."""
    if fit.verdict == "trust" or not isinstance(fit.map, CholeskyMap):
        return fit
    names = ", ".join(f"`{fit.names[j]}`" for j in np.asarray(fit.map.drivers))
    said = (
        f"The map was learned from points, few of which lie in the tails of {names}: chains enter these seldom, and shares beyond their 5 % "
        "quantiles may be half of what they should be. Where such tails matter, compare with `maps=False` or a longer run at `target_accept=0.98`."
    )
    return dataclasses.replace(fit, judgement=dataclasses.replace(fit.judgement, reasons=(*fit.reasons, said)))


def turning_of(fit: FitResult) -> Turning:
    """What the draws of a fit say of drivers."""
    return turning_at(*_paired(fit.draws)) if fit.draws is not None else Turning()


def _paired(draws: Evaluations) -> tuple[np.ndarray, np.ndarray]:
    """Antithetic pairs both of which are finite, halves one after the other: points and scores."""
    half, finite = len(draws.x) // 2, draws.finite()
    paired = np.flatnonzero(finite[:half] & finite[half : 2 * half])
    kept = draws.take(np.concatenate([paired, half + paired]))
    return kept.x, kept.score


def carried(
    key: Key, target: AbstractTarget, linear: FitResult, drivers: tuple[int, ...], callback: Callable[[StepInfo], None]
) -> Population:
    """The population that began at the draws of `linear`, once it has settled along its map, or after `MAX_ROUNDS`.

    Its `left` is infinite where nothing came of it: no driver shows within `FIRST_LOOK` rounds in the coordinates of a constant map, no map can
    be learned, the model raised, or Ctrl-C was pressed. `callback` hears of every round.
    """
    assert linear.draws is not None
    population = Population(*_paired(linear.draws), drivers, host_generator(fold_key(key, MAX_ROUNDS)))
    try:
        came = _moved(key, target, population, linear.cost.gradients, callback)
    except (ModelError, KeyboardInterrupt):
        came = False
    if not came:
        population.left = math.inf
    return population


def _moved(key: Key, target: AbstractTarget, population: Population, before: int, callback) -> bool:
    """Rounds until the population has settled, `MAX_ROUNDS` at most; whether there is a map with drivers."""
    settled = 0
    for number in range(MAX_ROUNDS):
        if not population.learn():
            return False
        population.advance(fold_key(key, number), target)
        population.look_beyond(target)
        left = Estimate(population.left, math.nan, POPULATION)
        callback(StepInfo("map", number, before + population.cost.gradients, None, left))
        settled = settled + 1 if population.stays() else 0
        if settled > SETTLED and population.drivers:
            return True
        if (number + 1) % FIRST_LOOK == 0 and population.left > POOR:
            population.look_for_drivers()
        if number + 1 >= FIRST_LOOK and not population.drivers:
            return False
    return True
