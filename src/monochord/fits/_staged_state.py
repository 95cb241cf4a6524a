"""The state of `Staged`, and those of its transitions that spend nothing."""

import dataclasses

import numpy as np

from monochord.fits._base import Mode, Scored
from monochord.fits._match import match, match_along
from monochord.fits._rules import plausible
from monochord.fits._shift import is_shifted, newton_shift
from monochord.fits._stages import enter
from monochord.fits._starts import StartedState
from monochord.fits._structure import MetricChoice
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, DiagonalMetric, LowRank
from monochord.targets import Evaluations

FIRST_STRENGTH = 1e2
CAUTIOUS_STRENGTH = 1.0
RIVAL_STEPS = 4


@dataclasses.dataclass(frozen=True)
class StagedState(StartedState):
    """Everything a step needs; `stage` names what the next step does."""

    buffer: tuple[Evaluations, ...]
    strength: float
    drawn_from: Gaussian | None = None  # of which the last batch of the buffer was drawn
    modes: tuple[Mode, ...] = ()  # empty where all starts agree
    choices: tuple[MetricChoice, ...] = ()  # structures of the metric that were compared
    unused: Gaussian | None = None  # the diagonal stage's second start, until it has been taken
    look: tuple[int, Scored | None] | None = None  # outliers that the last Hessian products found, and `best` by then
    rival: "StagedState | None" = None  # where the diagonal stage came to from its first


def after_diagonal(state: StagedState) -> StagedState:
    """The diagonal stage once more from its second start, then the full match from the better of both."""
    if state.unused is not None:
        again = dataclasses.replace(state, current=state.unused, unused=None, rival=state, buffer=(), best=None)
        return enter(dataclasses.replace(again, scores=(), strength=CAUTIOUS_STRENGTH), "diagonal")
    won = state
    if state.rival is not None and not _elbo(state) > _elbo(state.rival):
        won = dataclasses.replace(state.rival, cost=state.cost, repairs=state.repairs, num_steps=state.num_steps)
    fresh = dataclasses.replace(won, scores=(), best=won.scores[-1], strength=FIRST_STRENGTH, unused=None, rival=None)
    return enter(fresh, "full")


def is_hopeless(state: StagedState) -> bool:
    """Whether the second diagonal match lags behind the first by a nat a dimension after its first steps."""
    if state.rival is None or state.num_stage_steps < RIVAL_STEPS:
        return False
    return not _elbo(state) > _elbo(state.rival) - state.gaussian.dim


def _elbo(state: StagedState) -> float:
    return state.scores[-1].elbo.value


def is_looking(state: StagedState) -> bool:
    """Whether Hessian products may find more outliers: before the first look, and after one whose Gaussian paid."""
    if state.stage != "full" or state.look is None:
        return state.stage == "full"
    found, before = state.look
    if found == 0 or state.best is None or before is state.best:
        return False
    noise = 0.0 if before is None else np.hypot(before.elbo.standard_error, state.best.elbo.standard_error)
    return before is None or bool(state.best.elbo.value > before.elbo.value + 0.1 + 3.0 * noise)


def shrunk_diagonal(gaussian: Gaussian) -> Gaussian:
    """The same mean with a tenth of the scales: closer to where the density was finite."""
    return Gaussian(gaussian.mean, DiagonalMetric(0.1 * np.sqrt(gaussian.metric.diagonal())))


def updated(state: StagedState, family: AbstractFamily, prior: Gaussian) -> StagedState:
    """Match on the buffer's plausible points; a failed factorisation keeps the prior and weakens the match."""
    if not sum(len(points.x) for points in state.buffer):  # none of the last ones was usable
        repairs = state.repairs.add(rejected_updates=1)
        return dataclasses.replace(state, current=prior, strength=state.strength / 8.0, repairs=repairs)
    points, dropped = plausible(prior, state.buffer)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if is_shifted(prior, state.buffer[-1]):
                prior = newton_shift(family, prior, points, state.strength)
            if state.look is not None and isinstance(family, LowRank) and len(points.x) < 2 * prior.dim:
                current = match_along(family, prior, points, state.strength)
            else:
                current = match(family, prior, points, state.strength)
    except (np.linalg.LinAlgError, ValueError):
        repairs = state.repairs.add(failed_factorisations=1)
        return dataclasses.replace(state, current=prior, strength=state.strength / 8.0, repairs=repairs)
    return dataclasses.replace(state, current=current, repairs=state.repairs.add(dropped_points=dropped))
