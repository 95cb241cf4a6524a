"""What every algorithm's steps share: counting, changing stage, and the closing check from fresh draws.

An algorithm ends by `finish(state, status)`; its next step must then be `check`, after which the driver
stops. So every fit, whatever made it, is judged by draws that no update has seen.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from monochord.cost import Cost
from monochord.estimate import mean_estimate
from monochord.fits._base import AbstractFitState, FitStatus
from monochord.fits._gain import NUM_CHAINS, gain_over_identity
from monochord.fits._rules import not_worse
from monochord.fits._score import NUM_RAYS, antithetic_batch, coordinate_residuals, radial_spread, scored
from monochord.spectra import MANY_INDEFINITE, MAX_POINTS, judge, share_of_indefinite
from monochord.targets import AbstractTarget, Evaluations, idle_lanes

State = TypeVar("State", bound=AbstractFitState)
CHECK_PAIRS = 64
# Score residuals between which the share of indefinite Hessians is looked at (above, the residual alone refuses), and
# the unexplained share of one coordinate from which on: below both, indefinite Hessians cannot be common.
MATTERS_FROM, MATTERS_TO = 0.1, 10.0
MATTERS_COORDINATE = 0.5


def spend(state: State, points: Evaluations) -> State:
    """`state` with the gradients of `points`, and those that were not finite, counted."""
    count = len(points.x)
    bad = int(np.sum(~points.finite()))
    return dataclasses.replace(
        state, cost=state.cost + Cost(count, idle_lanes(count)), repairs=state.repairs.add(nonfinite_points=bad)
    )


def charge(state: State, batches: Sequence[int]) -> State:
    """`state` with Hessian products in `batches` counted: two gradients each, idle lanes likewise."""
    cost = sum((Cost(2 * count, 2 * idle_lanes(count)) for count in batches), Cost())
    return dataclasses.replace(state, cost=state.cost + cost)


def enter(state: State, stage: str) -> State:
    """`state` at the beginning of `stage`."""
    return dataclasses.replace(state, stage=stage, num_stage_steps=0)


def finish(state: State, status: FitStatus) -> State:
    """`state` on its way to the closing check."""
    return dataclasses.replace(enter(state, "check"), status=status)


def check(rng: np.random.Generator, target: AbstractTarget, state: State, num_pairs: int = CHECK_PAIRS) -> State:
    """Evidence for the final Gaussian from fresh draws; back to the best one seen if it is worse."""
    points = antithetic_batch(target, state.gaussian, rng, num_pairs)
    state = spend(state, points)
    evidence = scored(state.gaussian, points)
    if state.best is not None and state.gaussian is not state.best.gaussian and not not_worse(evidence, state.best):
        return dataclasses.replace(state, current=state.best.gaussian, repairs=state.repairs.add(rejected_updates=1))
    if np.all(points.finite()) and np.any(np.all(points.score == 0.0, axis=0)):  # a coordinate that is flat
        state = dataclasses.replace(state, status=FitStatus.diverged)
    state = dataclasses.replace(state, best=evidence, check=points, stage="done")
    return _look_for_indefinite(rng, target, _look_along_rays(target, state))


def _look_along_rays(target: AbstractTarget, state: State) -> State:
    """The radial spread, where the residual leaves room for trust: heavy tails hide from draws of a Gaussian's thin shell."""
    assert state.best is not None and state.check is not None
    points = state.check.take(state.check.finite())
    if len(points.x) < NUM_RAYS or not state.best.residual.value < MATTERS_FROM:
        return state
    spread, along = radial_spread(target, np.asarray(state.best.gaussian.mean), points.take(slice(NUM_RAYS)))
    return dataclasses.replace(spend(state, along), radial=spread)


def _look_for_indefinite(rng, target: AbstractTarget, state: State) -> State:
    """The share of indefinite Hessians, where the residual leaves the verdict open: a close fit cannot have many."""
    assert state.best is not None and state.check is not None
    points = state.check.take(state.check.finite())
    if len(points.x) < MAX_POINTS or not state.best.residual.value < MATTERS_TO:
        return state
    shares = coordinate_residuals(state.best.gaussian, points)
    worst = int(np.argmax(shares.mean(0)))
    if not (state.best.residual.value > MATTERS_FROM or shares[:, worst].mean() > MATTERS_COORDINATE):
        return state
    known = judge(state.best.residual, None, True, "", 0.0, (target.names[worst], mean_estimate(shares[:, worst])))
    if known.name == "do not use":  # nothing that follows could lift it
        return state
    share, gradients = share_of_indefinite(target, state.best.gaussian.metric, points.x, rng)
    state = dataclasses.replace(state, indefinite=share, cost=state.cost + Cost(gradients))
    if share.value < MANY_INDEFINITE or len(points.x) < NUM_CHAINS:
        return state
    gain, spent = gain_over_identity(target, state.gaussian, points.take(slice(NUM_CHAINS)), rng)
    for moved in spent:
        state = spend(state, moved)
    return dataclasses.replace(state, gain=gain)
