"""From a tuned sampler to `Draws`: the loop over blocks, its stopping rules, and what is kept."""

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from monochord._arviz import smallest_ess
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.sampling._chains import Chains, SamplingInfo, Segment, concatenate
from monochord.sampling._settings import SamplerSettings
from monochord.sampling._starts import chain_starts, given_starts
from monochord.sampling._warmup import Tuning, WarmUp, closed_form_tuning, warm_up
from monochord.targets import AbstractTarget

ESS_CHECK_GROWTH = 1.2  # the ESS is judged each time the draws have grown by this factor


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of all chains in unconstrained space, shape (chains, draws, dim), and how they came about."""

    segment: Segment
    tuning: Tuning
    warmup: WarmUp
    cost_starts: Cost
    status: str
    seconds_warmup: float
    seconds_sampling: float

    @property
    def x(self) -> np.ndarray:
        """Positions, (chains, draws, dim)."""
        return self.segment.x

    @property
    def gradients_warmup(self) -> int:
        """Gradients of starts and warm-up."""
        return self.cost_starts.gradients + self.warmup.gradients

    @property
    def gradients_sampling(self) -> int:
        """Gradients of the kept draws."""
        return self.segment.gradients


def run_chains(
    key: Key,
    target: AbstractTarget,
    gaussian: Gaussian,
    metric,
    residual: float,
    settings: SamplerSettings,
    initial: np.ndarray | None = None,
    callback: Callable[[SamplingInfo], None] | None = None,
) -> Draws:
    """Starts, warm-up and sampling of all chains under `metric`.

    Ctrl-C while draws are being kept ends the run with the draws so far and the status "interrupted";
    during starts and warm-up it propagates, as nothing is worth keeping.
    """
    clock = time.perf_counter()
    rng = host_generator(fold_key(key, 0))
    if initial is None:
        start, cost = chain_starts(target, gaussian, rng, settings.num_chains)
    else:
        start, cost = given_starts(target, initial, settings.num_chains)
    chains = Chains(target, start, fold_key(key, 1), settings.kernel, settings.max_tree_depth)
    try:
        tuning = closed_form_tuning(metric, gaussian, settings.kernel, settings.target_accept, residual)
        if settings.step_size is not None:
            tuning = dataclasses.replace(tuning, step_size=float(settings.step_size))
        warmed = warm_up(chains, Gaussian(gaussian.mean, metric), tuning, settings, callback)
        seconds_warmup = time.perf_counter() - clock
        segments, status = _sample(chains, warmed.tuning, settings, callback)
    finally:
        chains.close()
    seconds = time.perf_counter() - clock - seconds_warmup
    return Draws(concatenate(segments), warmed.tuning, warmed, cost, status, seconds_warmup, seconds)


def _sample(chains: Chains, tuning: Tuning, settings: SamplerSettings, callback) -> tuple[list[Segment], str]:
    segments: list[Segment] = []
    done, gradients, divergences, next_check, ess = 0, 0, 0, 100, None
    try:
        for segment in chains.segments(tuning.metric, tuning.step_size, tuning.trajectory_length, settings.num_draws):
            segments.append(segment._replace(score=segment.score[:, :, :0]))  # only warm-up needs them
            done += segment.x.shape[1]
            gradients += segment.gradients
            divergences += int(segment.diverging.sum())
            if settings.target_ess is not None and done >= next_check:
                next_check = int(done * ESS_CHECK_GROWTH) + 1
                ess = smallest_ess(np.concatenate([part.x for part in segments], axis=1))
            if callback is not None:
                callback(
                    SamplingInfo(
                        "sampling", done, settings.num_draws, gradients, divergences,
                        float(segment.acceptance.mean()), tuning.step_size, ess,
                    )
                )  # fmt: skip
            if ess is not None and settings.target_ess is not None and ess >= settings.target_ess:
                return segments, "target ESS reached"
    except KeyboardInterrupt:
        if not segments:
            raise
        return segments, "interrupted"
    if settings.target_ess is not None:
        return segments, "draw limit reached before the target ESS"
    return segments, "finished"
