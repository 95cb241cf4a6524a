"""Step sizes before any draw: in closed form from a fit's frequencies, or from the curvature at the starts."""

import dataclasses
import math

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._settings import Tuning
from monochord.spectra import QUARTER_PERIOD, WIDE, best_trajectory, energy_scale, frequencies_against, step_size_for
from monochord.targets import AbstractTarget, Evaluations, evaluate

POWER_STEPS = 5
NUDGE = 1e-4  # of a whitened unit: the score's change over it is a Hessian-vector product
MAX_RESCALE = 8.0


def closed_form_tuning(
    metric: AbstractMetric, gaussian: Gaussian, kernel: str, target_accept: float, residual: float
) -> Tuning:
    """Tuning from the frequencies of the fitted Gaussian under `metric`, before any draw.

    A score residual R means curvature that varies: for a score with quadratic parts Σω⁴ grows by the
    factor 1 + 2R (second Hermite order of the Poincaré inequality), and frequencies by about √R.
    """
    frequencies, weights = np.unique(frequencies_against(metric, gaussian.metric), return_counts=True)
    bounded = min(max(residual, 0.0), 2.0)
    length, jitter = best_trajectory(frequencies, target_accept, math.sqrt(bounded))
    inflation = 1.0 + 2.0 * bounded
    step = step_size_for(
        frequencies, target_accept, length if kernel == "hmc" else None, inflation, weights.astype(float), jitter
    )
    return Tuning(metric, step, length, jitter)


def found_tuning(
    target: AbstractTarget, metric: AbstractMetric, points: Evaluations, rng: np.random.Generator
) -> tuple[Tuning, int]:
    """Tuning from the curvature at `points`, for a metric that no fit stands behind; and the gradients spent.

    The largest frequency by power iterations on differences of scores (one gradient each); the step is half the
    leapfrog's limit 2/ω_max there.
    """
    direction = rng.standard_normal(points.x.shape)
    fastest = 1e-8
    for _ in range(POWER_STEPS):
        direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-300)
        moved = evaluate(target, points.x + NUDGE * np.asarray(metric.unwhiten(direction)))
        product = np.asarray(metric.whiten_covector(points.score - moved.score)) / NUDGE
        product = np.where(np.isfinite(product), product, 0.0)
        fastest = max(float(np.max(np.linalg.norm(product, axis=1))), 1e-8)
        direction = np.where(np.any(product != 0, axis=1, keepdims=True), product, direction)
    return Tuning(metric, 1.0 / math.sqrt(fastest), QUARTER_PERIOD), POWER_STEPS * len(points.x)


def moved_tuning(tuning: Tuning, metric: AbstractMetric, points: Evaluations) -> Tuning:
    """`tuning` on another metric: the step size scaled by the ratio of their ν over recent `points`."""
    if metric is tuning.metric:
        return tuning
    old, new = energy_scale(tuning.metric, points), energy_scale(metric, points)
    ratio = old / new if math.isfinite(old) and new > 0 and math.isfinite(new) else 1.0
    step = tuning.step_size * min(MAX_RESCALE, max(1.0 / MAX_RESCALE, ratio))
    return dataclasses.replace(tuning, metric=metric, step_size=step, trajectory_length=QUARTER_PERIOD, jitter=WIDE)
