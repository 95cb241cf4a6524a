"""Warm-up that begins where others end: step size from the spectrum, metric from the fit.

Where the fit is trusted, one short window checks the step size. Where it is only a start, a few windows
pool the draws and scores of all chains and `refine` moves the Gaussian towards them, with the fit as a
prior. The pool is bounded; nothing else of warm-up is kept.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._chains import Chains, SamplingInfo, Segment
from monochord.sampling._settings import SamplerSettings
from monochord.spectra import corrected_step_size, frequencies_against, step_size_for
from monochord.targets import Evaluations

PIECE = 10  # iterations a chain between looks at the acceptance
CLOSE = 0.05  # of the mean acceptance to the wanted one: about two standard errors of 40 transitions
SURPRISING = 0.15  # further off than mildly varying curvature brings it
MAX_ATTEMPTS = 10
POOL_POINTS = 1000


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What sampling runs with: a metric, a step size, and for HMC a mean trajectory length.

    `step_size` and `trajectory_length` are in time units of the whitened space: one period of the
    slowest direction is 2π/ω_min.
    """

    metric: AbstractMetric
    step_size: float
    trajectory_length: float


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """The outcome of warm-up and what it spent."""

    tuning: Tuning
    gradients: int
    iterations: int
    acceptance: float
    num_refinements: int


def closed_form_tuning(
    metric: AbstractMetric, gaussian: Gaussian, kernel: str, target_accept: float, residual: float
) -> Tuning:
    """Tuning from the frequencies of the fitted Gaussian under `metric`, before any draw.

    A score residual R means curvature that varies: for a score with quadratic parts Σω⁴ grows by the
    factor 1 + 2R (second Hermite order of the Poincaré inequality).
    """
    frequencies, weights = np.unique(frequencies_against(metric, gaussian.metric), return_counts=True)
    length = 0.5 * math.pi / float(frequencies.min())
    inflation = 1.0 + 2.0 * min(max(residual, 0.0), 2.0)
    step = step_size_for(
        frequencies, target_accept, length if kernel == "hmc" else None, inflation, weights.astype(float)
    )
    return Tuning(metric, step, length)


def warm_up(
    chains: Chains,
    gaussian: Gaussian,
    tuning: Tuning,
    settings: SamplerSettings,
    callback: Callable[[SamplingInfo], None] | None = None,
) -> WarmUp:
    """Refine the metric of `gaussian` in windows as `settings` say, and settle the step size.

    Without windows the metric is trusted: the closed-form step size is checked, and only where the
    acceptance is far from the predicted one is the trust taken back and `settings.fallback` run.
    """
    run = _Run(chains, tuning, settings, callback)
    windows = settings.windows
    if not windows:
        acceptance = run.look()
        error = abs(acceptance - settings.target_accept)
        if settings.step_size is not None or error < CLOSE:
            return WarmUp(run.tuning, run.gradients, run.iterations, acceptance, 0)
        windows = settings.fallback if error > SURPRISING else ()
    run.expected = run.iterations + sum(windows) + 2 * PIECE
    pool: list[Segment] = []
    for length in windows:
        pool = [*_bounded(pool), *run.window(length)]
        if settings.refine is not None:
            gaussian = settings.refine(gaussian, _points(pool))
            run.tuning = dataclasses.replace(run.tuning, metric=gaussian.metric)
    acceptance = run.settle()
    return WarmUp(run.tuning, run.gradients, run.iterations, acceptance, len(windows) if settings.refine else 0)


class _Run:
    """Iterations with a step size that follows the acceptance of all chains together."""

    def __init__(self, chains, tuning, settings, callback):
        self.chains, self.tuning, self.callback = chains, tuning, callback
        self.target_accept, self.adapt_step_size = settings.target_accept, settings.step_size is None
        self.expected = 2 * PIECE
        self.gradients = self.iterations = self.divergences = 0

    def window(self, length: int) -> list[Segment]:
        """`length` iterations a chain; the step size is corrected after each piece, less and less."""
        segments = []
        for index, start in enumerate(range(0, length, PIECE)):
            segment = self._piece(min(PIECE, length - start))
            segments.append(segment)
            self._correct(_typical_acceptance([segment]), 1.0 / (1 + index))
        return segments

    def look(self) -> float:
        """Acceptance of two pieces at the present step size."""
        return _typical_acceptance([self._piece(PIECE), self._piece(PIECE)])

    def settle(self) -> float:
        """Two pieces at one step size, until their acceptance is as wanted; that acceptance."""
        acceptance = math.nan
        for attempt in range(MAX_ATTEMPTS):
            acceptance = self.look()
            if not self.adapt_step_size or abs(acceptance - self.target_accept) < CLOSE:
                break
            self._correct(acceptance, 1.0 if attempt < 2 else 0.5)
        return acceptance

    def _piece(self, length: int) -> Segment:
        tuning = self.tuning
        segment = self.chains.advance(tuning.metric, tuning.step_size, tuning.trajectory_length, length)
        self.gradients += segment.gradients
        self.iterations += length
        self.divergences += int(segment.diverging.sum())
        if self.callback is not None:
            total = max(self.expected, self.iterations)
            self.callback(
                SamplingInfo(
                    "warm-up", self.iterations, total, self.gradients, self.divergences,
                    float(segment.acceptance.mean()), tuning.step_size,
                )
            )  # fmt: skip
        return segment

    def _correct(self, acceptance: float, weight: float) -> None:
        if self.adapt_step_size:
            step = self.tuning.step_size
            wanted = corrected_step_size(step, acceptance, self.target_accept)
            step = math.exp((1 - weight) * math.log(step) + weight * math.log(wanted))
            self.tuning = dataclasses.replace(self.tuning, step_size=step)


def _typical_acceptance(segments: list[Segment]) -> float:
    """Median over chains of their mean acceptance: one stuck chain must not shorten the step of all."""
    return float(np.median(np.mean([segment.acceptance.mean(axis=1) for segment in segments], axis=0)))


def _bounded(pool: list[Segment]) -> list[Segment]:
    """The later half of the pool, and no more than `POOL_POINTS` points."""
    kept = pool[len(pool) // 2 :]
    while sum(segment.acceptance.size for segment in kept) > POOL_POINTS and len(kept) > 1:
        kept = kept[1:]
    return kept


def _points(pool: list[Segment]) -> Evaluations:
    def flat(name):
        return np.concatenate([getattr(s, name).reshape(-1, *getattr(s, name).shape[2:]) for s in pool])

    return Evaluations(flat("x"), flat("log_density"), flat("score"))
