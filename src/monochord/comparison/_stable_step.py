"""The largest stable step and the step size for an acceptance, both found by running the integrator."""

import numpy as np
from jaxtyping import Float

from monochord.metrics import AbstractMetric
from monochord.sampling import energy_errors
from monochord.targets import AbstractTarget

LONG = 256  # leapfrogs: half a percent beyond the limit, the energy of a Gaussian has then grown by e^100
ENERGY_LIMIT = 1000.0  # nats a coordinate; a Gaussian reaches it only within .1 % of the limit
SHORT = 32  # leapfrogs over which the acceptance is averaged: many turns of the modes that make the error
PRECISION = 1e-3  # of a step size, relative
MAX_ROUNDS = 60


def largest_stable_steps(
    target: AbstractTarget,
    metric: AbstractMetric,
    points: Float[np.ndarray, "n dim"],
    noise: Float[np.ndarray, "n dim"],
    first: float,
) -> tuple[Float[np.ndarray, " n"], int]:
    """For each start the largest step whose energy error stays below `ENERGY_LIMIT` · dim along `LONG` leapfrogs, and
    the gradients spent.

    `noise` are whitened momenta; `first` is where the search begins. Doubling or halving brackets the limit, bisection
    finds it to `PRECISION`. For a Gaussian it is 2/ω_max from every start. Elsewhere it depends on where a trajectory comes
    by, need not be one number, and where curvature falls off in the tails the error of an unstable step stays bounded too:
    read it beside `step_for_acceptance`.
    """
    count = len(points)
    limit = ENERGY_LIMIT * points.shape[1]

    def is_stable(steps):
        errors = energy_errors(target, metric, points, noise, steps, num_steps=LONG)
        return np.all(np.abs(np.asarray(errors)) <= limit, axis=1)

    low, high, rounds = _bracket(is_stable, np.full(count, float(first)))
    while np.max(high / low) > 1.0 + PRECISION and rounds < MAX_ROUNDS:
        middle = np.sqrt(low * high)
        stable = is_stable(middle)
        low, high, rounds = np.where(stable, middle, low), np.where(stable, high, middle), rounds + 1
    return low, rounds * count * (LONG + 1)


def _bracket(is_stable, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """A stable and an unstable step for each start, a factor of two apart, and the rounds that took."""
    stable = begun = is_stable(steps)
    rounds = 1
    while rounds < MAX_ROUNDS // 2 and np.any(stable == begun):
        moving = stable == begun
        steps = np.where(moving, steps * np.where(begun, 2.0, 0.5), steps)
        stable = np.where(moving, is_stable(steps), stable)
        rounds += 1
    return np.where(begun, steps / 2.0, steps), np.where(begun, steps, steps * 2.0), rounds


def step_for_acceptance(
    target: AbstractTarget,
    metric: AbstractMetric,
    points: Float[np.ndarray, "n dim"],
    noise: Float[np.ndarray, "n dim"],
    target_accept: float,
    first: float,
) -> tuple[float, int]:
    """The step size at which min(1, e^−ΔH), averaged over `points` and over 1 to `SHORT` leapfrogs, is `target_accept`,
    and the gradients spent.

    The same points and momenta serve every trial, so that the average is nearly monotone in the step size.
    """
    count = len(points)

    def accepts(step: float) -> bool:
        errors = np.asarray(energy_errors(target, metric, points, noise, np.full(count, step), num_steps=SHORT))
        return bool(np.mean(np.exp(-np.maximum(errors, 0.0))) >= target_accept)

    low, high, rounds = first, first, 1
    if accepts(first):
        while rounds < MAX_ROUNDS and accepts(high := 2.0 * low):
            low, rounds = high, rounds + 1
    else:
        while rounds < MAX_ROUNDS and not accepts(low := 0.5 * high):
            high, rounds = low, rounds + 1
    rounds += 1
    while high / low > 1.0 + PRECISION and rounds < MAX_ROUNDS:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if accepts(middle) else (low, middle)
        rounds += 1
    return float(np.sqrt(low * high)), rounds * count * (SHORT + 1)
