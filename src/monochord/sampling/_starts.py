"""Starts of the chains: distinct draws of the fit with finite density, or points the user gave."""

import numpy as np

from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes, join

ROUNDS = 10


def chain_starts(
    target: AbstractTarget, gaussian: Gaussian, rng: np.random.Generator, num_chains: int
) -> tuple[Evaluations, Cost]:
    """`num_chains` distinct draws of `gaussian` with finite density and score.

    **Raises** `ModelError` when `ROUNDS` batches, drawn ever closer to the mean, hold too few of them.
    """
    found: list[Evaluations] = []
    cost = Cost()
    for attempt in range(ROUNDS):
        z = rng.standard_normal((num_chains, gaussian.dim)) * 0.7**attempt
        points = evaluate(target, gaussian.place(z))
        cost += Cost(num_chains, idle_lanes(num_chains))
        found.append(points.take(points.finite()))
        pool = join(found)
        if len(pool.x) >= num_chains:
            return pool.take(np.arange(num_chains)), cost
    raise ModelError(
        f"the density is zero or not a number at nearly all of {cost.gradients} draws of the fitted Gaussian. "
        "Chains need finite starts. Pass `initial=` with points of positive density, and check the model there."
    )


def given_starts(target: AbstractTarget, initial: np.ndarray, num_chains: int) -> tuple[Evaluations, Cost]:
    """The user's points, repeated if there are fewer than chains.

    **Raises** `ModelError` when one of them has no finite density or score.
    """
    x = np.atleast_2d(initial)
    x = x[np.arange(num_chains) % len(x)]
    points = evaluate(target, x)
    finite = points.finite()
    if not finite.all():
        index = int(np.flatnonzero(~finite)[0])
        raise ModelError(
            f"`initial` gives chain {index} a start with log density {points.log_density[index]} or a gradient that "
            "is not finite. A chain cannot leave such a point. Pass a start inside the support."
        )
    return points, Cost(num_chains, idle_lanes(num_chains))
