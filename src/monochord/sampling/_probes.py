"""Points that have left the fit: draws of it, moved towards the posterior by a few short transitions; and a population that goes on."""

import dataclasses

import numpy as np
from jaxtyping import Float

from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._chains import Chains
from monochord.sampling._starts import chain_starts
from monochord.sampling._tuning import closed_form_tuning
from monochord.spectra import corrected_step_size
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

NUM_TRANSITIONS = 3
MAX_TREE_DEPTH = 6  # 63 leapfrogs: a probe under a bad metric must stay cheap


def moved_points(
    key: Key,
    target: AbstractTarget,
    gaussian: Gaussian,
    metric: AbstractMetric,
    num_points: int,
    target_accept: float = 0.8,
) -> tuple[Evaluations, Cost]:
    """`num_points` draws of the fit, each moved by three transitions of jittered HMC under `metric`.

    The step size is the closed form's, corrected by the acceptance of each transition. Independent of each
    other, and closer to the posterior than to the fit wherever its transitions can carry them.

    **Raises** `ModelError` where the fit has no draws of finite density.
    """
    start, cost = chain_starts(target, gaussian, host_generator(fold_key(key, 0)), num_points)
    tuning = closed_form_tuning(metric, gaussian, "hmc", target_accept, 0.0)
    chains = Chains(target, start, fold_key(key, 1), MAX_TREE_DEPTH)
    try:
        for _ in range(NUM_TRANSITIONS):
            segment = chains.advance([tuning] * num_points, "hmc", 1)
            cost += Cost(segment.gradients)
            step = corrected_step_size(tuning.step_size, float(segment.acceptance.mean()), target_accept)
            tuning = dataclasses.replace(tuning, step_size=step)
    finally:
        chains.close()
    points = _points(segment, 0)
    return points.take(points.finite()), cost


def carried_points(
    key: Key,
    target: AbstractTarget,
    x: Float[np.ndarray, "n dim"],
    gaussian: Gaussian,
    shrink: float = 1.0,
    target_accept: float = 0.8,
) -> tuple[list[Evaluations], float, Cost]:
    """A population at `x` after each of three transitions of jittered HMC under the metric of `gaussian`.

    The step size is that of the closed form times `shrink`, which comes back corrected by the acceptance.
    """
    start = evaluate(target, x)
    cost = Cost(len(x), idle_lanes(len(x)))
    tuning = closed_form_tuning(gaussian.metric, gaussian, "hmc", target_accept, 0.0)
    whole, found = tuning.step_size, []
    tuning = dataclasses.replace(tuning, step_size=whole * shrink)
    chains = Chains(target, start, key, MAX_TREE_DEPTH)
    try:
        for _ in range(NUM_TRANSITIONS):
            segment = chains.advance([tuning] * len(x), "hmc", 1)
            cost += Cost(segment.gradients)
            acceptance = float(np.nan_to_num(segment.acceptance).mean())
            step = min(whole, corrected_step_size(tuning.step_size, acceptance, target_accept))
            tuning = dataclasses.replace(tuning, step_size=step)
            found.append(_points(segment, 0))
    finally:
        chains.close()
    return found, tuning.step_size / whole, cost


def _points(segment, place: int) -> Evaluations:
    fields = (segment.x[:, place], segment.log_density[:, place], segment.score[:, place])
    return Evaluations(*(np.asarray(field, np.float64) for field in fields))
