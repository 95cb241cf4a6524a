"""Points that have left the fit: draws of it, moved towards the posterior by a few short transitions."""

import dataclasses

import numpy as np

from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._chains import Chains
from monochord.sampling._starts import chain_starts
from monochord.sampling._tuning import closed_form_tuning
from monochord.spectra import corrected_step_size
from monochord.targets import AbstractTarget, Evaluations

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
    points = Evaluations(
        np.asarray(segment.x[:, 0], np.float64),
        np.asarray(segment.log_density[:, 0], np.float64),
        np.asarray(segment.score[:, 0], np.float64),
    )
    return points.take(points.finite()), cost
