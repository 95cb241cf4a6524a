"""Which kernel: a short pilot of jittered HMC beside the NUTS draws that warm-up has made anyway.

On a whitened target HMC with lengths jittered about a quarter period costs about as much as NUTS for x and half or less
for squares: the spectrum says so before any draw. Where a log scale has heavy tails it is fast and wrong: its
trajectories do not cross, NUTS's do. Neither a small residual nor good acceptance shows that; comparing the two
kernels' efficiency and moments does. The prediction is the prior, the pilot the evidence, and doubt means NUTS.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from monochord.mixing import bulk_ess, ess_of_means
from monochord.sampling._enough import spread_sample
from monochord.sampling._segment import Segment, concatenate
from monochord.sampling._settings import Tuning
from monochord.sampling._tuning import closed_form_tuning
from monochord.sampling._warmup import PIECE, WarmUpRun
from monochord.spectra import Modes, hmc_cost, nuts_cost

SHARE = 0.2  # of the gradients that the rest of the run is expected to need
ROUND = 2  # pieces of a kernel's draws between comparisons
MAX_DRAWS = 200  # of one kernel, a chain
AGREEING = 4.0  # standard errors between the kernels' moments: 6 in 100,000 a moment by chance
CLEAR = 2.0  # standard errors of the log ratio of efficiencies at which the pilot ends early
TRUST_ERROR, START_ERROR = 0.25, 0.7  # of the predicted log ratio, where the fit is trusted and where it was a start
QUANTILE = 0.25  # of coordinates, where the fit is trusted: all are alike then, and the worst of many is noise
LEAST_ESS = 4.0
COMPARED = 256  # coordinates at most
EXPECTED_ESS = 400.0  # that a run of a fixed number of draws is taken to be made for


class Pilot(NamedTuple):
    """The kernel chosen, why, and what the pilot found: effective draws a gradient (of x and of squares, the smaller)."""

    kernel: str
    reason: str
    nuts: float = math.nan
    hmc: float = math.nan


@dataclasses.dataclass
class _Side:
    """One kernel's tuning and draws."""

    kernel: str
    tuning: Tuning
    segments: list[Segment]

    def ess(self, quantile: float) -> float:
        """ESS of x or of (x − mean)², the smaller, at a quantile over coordinates (0: the worst)."""
        x = self.functionals()
        found = (bulk_ess(x), ess_of_means((x - x.mean((0, 1))) ** 2))
        return max(1.0, float(min(np.quantile(ess, quantile) for ess in found)))

    def functionals(self) -> np.ndarray:
        """Coordinates (`COMPARED` of very many) and log density: a radius with heavy tails shows in the last alone."""
        draws = concatenate(self.segments)
        return np.concatenate([spread_sample(draws.x, COMPARED), draws.log_density[:, :, None]], axis=2)

    def efficiency(self, quantile: float) -> float:
        """Effective draws a gradient."""
        return self.ess(quantile) / max(1, sum(segment.gradients for segment in self.segments))

    def draws(self) -> int:
        return sum(segment.x.shape[1] for segment in self.segments)


def choose_kernel(run: WarmUpRun) -> Pilot:
    """Run the pilot where it can pay, and leave `run` with the kernel and step size to sample with."""
    settings = run.settings
    if settings.kernel != "auto":
        return Pilot(settings.kernel, "stated")
    if run.kernel == "hmc":
        return Pilot("hmc", "the fit is so close to the posterior that all directions have one period")
    if len(run.groups) > 1:
        return Pilot("nuts", "chains of separate modes cannot be compared in a pilot")
    if not settings.allows_pilot or not run.recent or run.is_refused:
        return Pilot("nuts", "no metric gives all directions of this posterior one period")
    nuts = _Side("nuts", run.groups[0].tuning, run.recent)
    learned = run.num_refinements > 0
    quantile = 0.0 if learned else QUANTILE
    budget = _allowance(run, nuts.efficiency(quantile))
    hmc = _begin(run)
    while True:
        ratio, error = _log_ratio(nuts, hmc, quantile, START_ERROR if learned else TRUST_ERROR, run.chains.target.dim)
        doubt = _disagreement(nuts, hmc)
        more = min((nuts, hmc), key=lambda side: side.ess(quantile))
        spent = run.gradients - budget.before
        if doubt or abs(ratio) > CLEAR * error or spent >= budget.most or more.draws() >= MAX_DRAWS:
            break
        _use(run, more)
        more.segments += [run.piece(PIECE) for _ in range(ROUND)]
    chosen = hmc if ratio > 0 and doubt is None else nuts
    _use(run, chosen)
    if learned:
        run.learn_from([*nuts.segments, *hmc.segments])
    reason = doubt or "more effective draws a gradient in a pilot of both, with the same moments"
    return Pilot(chosen.kernel, reason, nuts.efficiency(quantile), hmc.efficiency(quantile))


class _Allowance(NamedTuple):
    before: int
    most: float


def _allowance(run: WarmUpRun, nuts_efficiency: float) -> _Allowance:
    """A fifth of what the run will need with the kernel it has, and of what it may."""
    wanted = run.settings.target_ess or EXPECTED_ESS
    left = run.budget.max_gradients - run.budget.gradients
    return _Allowance(run.gradients, SHARE * min(wanted / nuts_efficiency, left))


def _begin(run: WarmUpRun) -> _Side:
    """Draws of jittered HMC once its step size is right."""
    group, settings = run.groups[0], run.settings
    tuning = closed_form_tuning(group.tuning.metric, group.gaussian, "hmc", run.target_accept, settings.residual)
    if settings.step_size is not None:
        tuning = dataclasses.replace(tuning, step_size=settings.step_size)
    _use(run, _Side("hmc", tuning, []))
    run.recent = [run.piece(PIECE), run.piece(PIECE)]
    run.settle()
    return _Side("hmc", group.tuning, run.recent)


def _use(run: WarmUpRun, side: _Side) -> None:
    run.kernel, run.groups[0].tuning = side.kernel, side.tuning


def _log_ratio(nuts: _Side, hmc: _Side, quantile: float, prior_error: float, dim: int) -> tuple[float, float]:
    """Log of HMC's efficiency over NUTS's with its error: the spectrum's prediction and the pilot, weighed.

    An ESS of S estimated from draws has a relative error of about √(2/S).
    """
    measured = math.log(hmc.efficiency(quantile) / nuts.efficiency(quantile))
    weight = 1.0 / (2.0 / nuts.ess(quantile) + 2.0 / hmc.ess(quantile))
    prior = predicted_log_ratio(dim)
    prior_weight = prior_error**-2
    total = weight + prior_weight
    return (weight * measured + prior_weight * prior) / total, total**-0.5


def predicted_log_ratio(dim: int, target_accept: float = 0.8) -> float:
    """Log of NUTS's cost over jittered HMC's, each the larger of x and squares, on a whitened target."""
    modes = Modes(np.ones(1), np.full(1, float(dim)))
    nuts, hmc = nuts_cost(modes, target_accept), hmc_cost(modes, target_accept)
    return math.log(max(nuts.draw, nuts.square) / max(hmc.draw, hmc.square))


def _disagreement(nuts: _Side, hmc: _Side) -> str | None:
    """A sentence where the kernels' means of x or of squares about a common centre differ beyond both errors."""
    draws = [side.functionals() for side in (nuts, hmc)]
    centre = 0.5 * (draws[0].mean((0, 1)) + draws[1].mean((0, 1)))
    for power, name in ((1, "means"), (2, "spreads")):
        moments = []
        for x in draws:
            values = (x - centre) ** power
            moments.append((values.mean((0, 1)), values.var((0, 1)) / np.maximum(ess_of_means(values), LEAST_ESS)))
        (first, first_variance), (second, second_variance) = moments
        z = np.abs(first - second) / np.sqrt(np.maximum(first_variance + second_variance, 1e-300))
        if float(np.max(z)) > AGREEING:
            return f"the kernels' {name} differed in a pilot of both: jittered trajectories do not cross this posterior"
    return None
