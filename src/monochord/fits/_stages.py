"""What every algorithm's steps share: counting, changing stage, and the closing check from fresh draws.

An algorithm ends by `finish(state, status)`; its next step must then be `check`, after which the driver
stops. So every fit, whatever made it, is judged by draws that no update has seen.
"""

import dataclasses
from typing import TypeVar

import numpy as np

from monochord.cost import Cost
from monochord.fits._base import AbstractFitState, FitStatus
from monochord.fits._rules import not_worse
from monochord.fits._score import antithetic_batch, scored
from monochord.targets import AbstractTarget, Evaluations, idle_lanes

State = TypeVar("State", bound=AbstractFitState)
CHECK_PAIRS = 64


def spend(state: State, points: Evaluations) -> State:
    """`state` with the gradients of `points`, and those that were not finite, counted."""
    count = len(points.x)
    bad = int(np.sum(~points.finite()))
    return dataclasses.replace(
        state, cost=state.cost + Cost(count, idle_lanes(count)), repairs=state.repairs.add(nonfinite_points=bad)
    )


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
    return dataclasses.replace(state, best=evidence, check=points, stage="done")
