"""The first draws of chains under one metric, every gradient since the first start charged, and when tuning settles."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from monochord import sampling
from monochord.arrays import Key, fold_key, host_generator
from monochord.comparison._dual_averaging import FIRST_BUFFER, begun, stan_scales, updated, window_ends
from monochord.comparison._reference import Reference
from monochord.metrics import AbstractMetric, DiagonalMetric
from monochord.sampling import Chains, SamplingInfo, Tuning, energy_errors
from monochord.targets import AbstractTarget, Evaluations

STEP_FACTOR = 1.25  # a step size has settled when it stays this close to its last value
SCALE_FACTOR = 1.5  # a metric has, when all its scales stay this close to the long-run sds
MAX_DOUBLINGS = 60
KERNEL = "nuts"


@dataclasses.dataclass(frozen=True)
class EarlyRun:
    """Draws from the first iteration on, adaptation included; `gradients[t]` were spent by all chains up to draw t, with
    `gradients_before` of the fit and the starts. `step_sizes` are the averaged ones, the chains' geometric mean.
    """

    x: Float[np.ndarray, "chains draws dim"]
    gradients: Int[np.ndarray, " draws"]
    gradients_before: int
    gradients_tuning: int
    step_sizes: Float[np.ndarray, " draws"]
    scale_errors: Float[np.ndarray, " draws"]
    acceptance: float
    divergences: int

    def step_settled(self) -> int | None:
        """First draw (1-based) from which the step size stays within `STEP_FACTOR` of the last."""
        return settled(np.abs(np.log(self.step_sizes / self.step_sizes[-1])) <= np.log(STEP_FACTOR))

    def metric_settled(self) -> int | None:
        """First draw (1-based) from which every scale stays within `SCALE_FACTOR` of the long-run sd; None for never."""
        return settled(self.scale_errors <= np.log(SCALE_FACTOR))

    def gradients_at(self, draw: int | None) -> int | None:
        """What had been spent when draw `draw` was made; None for None."""
        return None if draw is None else int(self.gradients[draw - 1])

    def errors(self, first: int, last: int, reference: Reference) -> tuple[float, float]:
        """Root mean square over coordinates of the errors of the mean, in sds, and of (x − mean)², in its own sds, of
        draws `first` + 1 to `last` of all chains together.
        """
        x = self.x[:, first:last].reshape(-1, self.x.shape[-1]) - reference.mean
        mean = x.mean(0) / reference.sd
        square = ((x**2).mean(0) - reference.sd**2) / reference.square_sd
        return float(np.sqrt(np.mean(mean**2))), float(np.sqrt(np.mean(square**2)))


def settled(is_close: np.ndarray) -> int | None:
    """1-based place from which all are True; None where the last is not."""
    if not is_close[-1]:
        return None
    wrong = np.flatnonzero(~is_close)
    return int(wrong[-1]) + 2 if len(wrong) else 1


def early_run(
    key: Key,
    target: AbstractTarget,
    start: Evaluations,
    metric: AbstractMetric,
    reference: Reference,
    num_draws: int,
    target_accept: float,
    *,
    gradients_before: int,
    step_size: float | None = None,
    learns: bool = False,
    max_tree_depth: int = 10,
    report: Callable[[SamplingInfo], None] | None = None,
    stage: str = "early",
) -> EarlyRun:
    """`num_draws` iterations of NUTS of every chain from `start`, step sizes by dual averaging all along.

    Without a `step_size` the first is found as in Stan, by doubling or halving until one leapfrog's acceptance crosses .8.
    With `learns`, each chain learns its scales in Stan's windows, those of a warm-up of 1000.
    """
    chains = Chains(target, start, fold_key(key, 0), max_tree_depth)
    rng = host_generator(fold_key(key, 1))
    metrics: list[AbstractMetric] = [metric] * chains.num_chains
    tuning_gradients = 0
    if step_size is None:
        steps, tuning_gradients = _first_steps(target, metrics, start.x, np.ones(chains.num_chains), rng)
        state = begun(steps, 10.0)
    else:
        state = begun(np.full(chains.num_chains, step_size), 1.0)
    record, opened, spent = _Record(), FIRST_BUFFER, gradients_before + tuning_gradients
    ends = window_ends() if learns else []
    try:
        for draw in range(1, num_draws + 1):
            tunings = [Tuning(m, float(s), 1.0) for m, s in zip(metrics, state.step_sizes(), strict=True)]
            segment = chains.advance(tunings, KERNEL, 1)
            state = updated(state, segment.acceptance[:, 0], target_accept)
            spent += segment.gradients
            record.add_draw(segment)
            if draw in ends:
                window = np.concatenate([one.x for one in record.segments[opened:]], axis=1)
                metrics = [DiagonalMetric(scale) for scale in stan_scales(window.astype(np.float64))]
                opened = draw
                steps, more = _first_steps(target, metrics, chains.ends().x, state.step_sizes(), rng)
                state, spent, tuning_gradients = begun(steps, 10.0), spent + more, tuning_gradients + more
            record.add_tuning(spent, state.log_average, _scale_error(metrics, reference))
            if report is not None:
                report(_info(stage, draw, num_draws, spent, record, float(np.exp(state.log_average.mean()))))
    finally:
        chains.close()
    joined = sampling.concatenate(record.segments)
    return EarlyRun(
        joined.x.astype(np.float64), np.array(record.gradients), gradients_before, tuning_gradients,
        np.exp(np.array(record.log_steps)), np.array(record.scale_errors),
        float(joined.acceptance.mean()), record.divergences,
    )  # fmt: skip


@dataclasses.dataclass
class _Record:
    segments: list = dataclasses.field(default_factory=list)
    gradients: list = dataclasses.field(default_factory=list)
    log_steps: list = dataclasses.field(default_factory=list)
    scale_errors: list = dataclasses.field(default_factory=list)
    divergences: int = 0

    def add_draw(self, segment) -> None:
        self.segments.append(segment)
        self.divergences += int(segment.diverging.sum())

    def add_tuning(self, gradients: int, log_steps: np.ndarray, scale_error: float) -> None:
        self.gradients.append(gradients)
        self.log_steps.append(float(log_steps.mean()))
        self.scale_errors.append(scale_error)


def _scale_error(metrics, reference: Reference) -> float:
    """Largest |log(scale / long-run sd)| over coordinates and chains."""
    distinct = {id(metric): metric for metric in metrics}.values()
    scales = np.array([np.sqrt(np.asarray(metric.diagonal(), np.float64)) for metric in distinct])
    return float(np.max(np.abs(np.log(scales / reference.sd))))


def _first_steps(target, metrics, x, steps, rng) -> tuple[np.ndarray, int]:
    """Stan's first step size of each chain, from `steps` on, and the gradients that took."""
    found, gradients = [], 0
    for metric, point, step in zip(metrics, np.asarray(x, np.float64), steps, strict=True):
        direction = 0
        for _ in range(MAX_DOUBLINGS):
            noise = rng.standard_normal((1, len(point)))
            error = energy_errors(target, metric, point[None], noise, np.array([step]), num_steps=1)
            gradients += 1
            wanted = 1 if float(np.asarray(error)[0, 0]) < -np.log(0.8) else -1
            if direction and wanted != direction:
                break
            direction = wanted
            step *= 2.0**direction
        found.append(step)
    return np.array(found), gradients


def _info(stage, draw, total, gradients, record: _Record, step_size) -> SamplingInfo:
    last = record.segments[-1]
    return SamplingInfo(
        stage, draw, total, gradients, record.divergences, float(last.acceptance.mean()), step_size, kernel=KERNEL
    )
