"""Where chains begin: distinct draws of the fit, and what is done with a fit that somebody hands over."""

import dataclasses

import numpy as np

from monochord import fits, sampling
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, identity_metric
from monochord.rejudge import RANKS
from monochord.sampling import Start
from monochord.spectra import NEGLIGIBLE_MASS, judge
from monochord.targets import AbstractTarget, evaluate, idle_lanes

NUM_COMPARED = 4  # draws of a fit that are evaluated again to see whether it belongs to this target
WORSE = 3.0  # times what the fit recorded, and `WORSE_BY` more, firmly: the evidence is another's
WORSE_BY = 0.05


def unit_gaussian(target: AbstractTarget) -> Gaussian:
    """N(centre, I): the belief of a run without a fit."""
    return Gaussian(np.asarray(target.center, np.float64), identity_metric(target.dim))


def confirmed(key: Key, target: AbstractTarget, fit: FitResult) -> tuple[FitResult | None, Cost, str]:
    """A fit handed over, if it holds on this target; else None, what looking cost, and a sentence.

    A fit is at home here when a few of its own draws have the densities it recorded. Otherwise (another data set, a
    Gaussian put in by hand, a fit without its draws) it is measured anew, and dropped where it is worse than it says. So
    is a fit whose own evidence does not bear out its verdict.
    """
    assert fit.gaussian is not None
    borne_out = judge(fit.score_residual, fit.pareto_k, True, "", 0.0, fit.worst_coordinate)
    if RANKS[borne_out.name] > RANKS[fit.verdict]:
        return None, Cost(), (
            f'The fit handed over says "{fit.verdict}", but its own evidence says "{borne_out.name}": it is not used, and a new '
            "one was made."
        )  # fmt: skip
    known, rng = fit.draws, host_generator(fold_key(key, 0))
    cost = Cost()
    if known is not None:
        places = sampling.resampled(fit.gaussian, known, None, rng, NUM_COMPARED)
        again = evaluate(target, known.x[places])
        cost += Cost(len(places), idle_lanes(len(places)))
        if np.allclose(again.log_density, known.log_density[places], rtol=1e-5, atol=1e-3):
            return fit, cost, ""
    measured = fits.run(fold_key(key, 1), target, fits.Given(fit.gaussian))
    cost += measured.cost
    if not holds(measured, fit):
        return None, cost, (
            f'The fit handed over says "{fit.verdict}", but measured on this target its score residual is '
            f"{measured.score_residual} and the verdict \"{measured.verdict}\": it is not used, and a new one was made."
        )  # fmt: skip
    kept = dataclasses.replace(
        measured, cost=fit.cost, seed=fit.seed, modes=fit.modes, choices=fit.choices, map=fit.map
    )
    return kept, cost, ""


def holds(measured: FitResult, fit: FitResult) -> bool:
    """Whether a fit, `measured` again on another target, is there about as good as it was where it was made."""
    return RANKS[measured.verdict] <= RANKS[fit.verdict] and not _is_worse(measured, fit)


def _is_worse(measured: FitResult, fit: FitResult) -> bool:
    pairs = [(measured.score_residual, fit.score_residual)]
    if measured.worst_coordinate is not None and fit.worst_coordinate is not None:
        pairs.append((measured.worst_coordinate[1], fit.worst_coordinate[1]))
    return any(_firmly_above(now, then) for now, then in pairs)


def _firmly_above(now: Estimate | None, then: Estimate | None) -> bool:
    if now is None or then is None:
        return now is None
    return not now.value - 2.0 * now.standard_error <= WORSE * then.value + WORSE_BY


def beginnings(
    key: Key,
    target: AbstractTarget,
    fit: FitResult | None,
    gaussian: Gaussian,
    believed: Gaussian,
    metric: AbstractMetric,
    num_chains: int,
    initial: np.ndarray | None,
) -> tuple[list[Start], Cost]:
    """Starts of all chains, one entry for each separate mode of the fit, and their cost.

    Points are draws of `gaussian`; `believed` is what the step size is taken from.

    Draws of the fit's closing check serve where there are enough: they are paid for. Each mode with more than a
    thousandth of the mass gets chains in proportion, one at least.
    """
    rng = host_generator(fold_key(key, 2))
    if initial is not None:
        points, cost = sampling.given_starts(target, initial, num_chains)
        return [Start(points, believed, metric, fit is not None)], cost
    if fit is None:
        points, cost = sampling.box_starts(target, rng, num_chains)
        return [Start(points, believed, metric, False)], cost
    modes = [mode for mode in fit.modes if mode.share > NEGLIGIBLE_MASS]
    counts = sampling.shared_out(num_chains, [mode.share for mode in modes]) if len(modes) > 1 else [num_chains]
    known, starts, cost = fit.draws, [], Cost()
    for index, count in enumerate(counts):
        there = gaussian if index == 0 else Gaussian(np.asarray(modes[index].mean, np.float64), gaussian.metric)
        places = np.zeros(0, int)
        if index == 0 and known is not None:
            pareto_k = fit.pareto_k.value if fit.pareto_k is not None else None
            places = sampling.resampled(there, known, pareto_k, rng, count)
        if known is not None and len(places) == count:
            points = known.take(places)
        else:
            points, spent = sampling.chain_starts(target, there, rng, count)
            cost += spent
        starts.append(Start(points, Gaussian(there.mean, believed.metric), metric))
    return starts, cost
