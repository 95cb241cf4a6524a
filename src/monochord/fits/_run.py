"""The one loop over a fit's steps, and what it returns."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from monochord.arrays import Key, fold_words, key_words
from monochord.cost import Cost
from monochord.errors import MonochordError
from monochord.estimate import Estimate, mean_estimate
from monochord.fits._base import AbstractFit, AbstractFitState, FitStatus, Mode, Repairs, StepInfo
from monochord.fits._score import coordinate_residuals, elbo_terms
from monochord.fits._structure import MetricChoice
from monochord.gaussian import Gaussian
from monochord.maps import AbstractMap
from monochord.spectra import Verdict, judge
from monochord.targets import AbstractTarget, Evaluations

NOTHING_PAYS = (
    "No preconditioning pays here: a multiple of the identity is predicted to cost within a tenth of any other metric, and "
    "that is what the fit returns."
)
MAX_STEPS = 400  # descents take up to 100, the score match 5 to 60


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A fitted Gaussian with its evidence.

    `gaussian` lives in unconstrained space (None only without a finite start). `elbo` is in nats, up to
    the target's constant. `score_residual` is E‖Lᵀ(score_p − score_q)‖²/dim under q: 0 for a Gaussian
    target. `worst_coordinate` is the parameter whose score the fit explains least, with the unexplained
    share. `pareto_k` is the tail index of p/q. All come from draws made after the last update.
    `modes` are the places where starts ended apart (empty where they agree), `choices` the structures of the metric that
    were compared by their predicted cost, `indefinite_share` the share of draws with an indefinite Hessian (None where
    the residual settles the verdict without it), `radial_spread` the spread of log radius along rays from the mean over
    that of a Gaussian, `gain_over_identity` the cost functional without a metric over that with this one, on draws moved
    by a few trajectories (None unless most Hessians are indefinite). Where a `map` was learned, `gaussian`, `draws` and
    `modes` live in its coordinates, and ``monochord.maps.mapped(target, fit.map)`` is the target there.
    `state` resumes the fit: ``run(key, target, algorithm, state=result.state)``; where it stopped at
    `max_steps` it is the state before the evidence was drawn.
    """

    gaussian: Gaussian | None
    elbo: Estimate | None
    score_residual: Estimate | None
    worst_coordinate: tuple[str, Estimate] | None
    pareto_k: Estimate | None
    status: FitStatus
    judgement: Verdict
    cost: Cost
    repairs: Repairs
    trace: tuple[StepInfo, ...]
    names: tuple[str, ...]
    state: Any
    modes: tuple[Mode, ...] = ()
    choices: tuple[MetricChoice, ...] = ()
    indefinite_share: Estimate | None = None
    radial_spread: Estimate | None = None
    gain_over_identity: Estimate | None = None
    map: AbstractMap | None = None
    seed: int | None = None
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """One of "trust", "start only" and "do not use"."""
        return self.judgement.name

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences behind the verdict."""
        return self.judgement.reasons

    @property
    def draws(self) -> Evaluations | None:
        """Draws of `gaussian` with the target's log densities and scores there, those of the closing check."""
        best = getattr(self.state, "best", None)
        return self.state.check if best is not None and best.gaussian is self.gaussian else None

    def save(self, path: str | os.PathLike, force: bool = False) -> Path:
        """Write the fit to one file, all or nothing; `mc.load` reads it back bit for bit. Returns where it lies.

        The file is an NPZ with a JSON head, described in SCHEMA.md; nothing in it is pickled. Not kept is the inner state
        of an algorithm that has not finished: a loaded fit cannot be resumed, only serve as a start.

        **Raises** `OutputError` where a file exists (without `force`) or cannot be written; what stood there is untouched.
        """
        from monochord.fits._file import save

        return save(self, path, force)

    def furthest(self) -> tuple[str, float]:
        """The parameter with the largest mean or scale, unconstrained, and its size: the evidence of a divergence."""
        if self.gaussian is not None:
            extent = np.maximum(np.abs(self.gaussian.mean), np.sqrt(np.asarray(self.gaussian.metric.diagonal())))
        else:
            ends = [search.x for search in getattr(self.state, "searches", ())] or [np.zeros(len(self.names))]
            extent = np.max(np.abs(ends), axis=0)
        index = int(np.argmax(extent))
        return self.names[index], float(extent[index])

    def __str__(self) -> str:
        lines = [
            f"verdict         {self.verdict}",
            *(f"                {reason}" for reason in self.reasons),
            f"status          {self.status.value}",
            f"ELBO            {self.elbo}",
            f"score residual  {self.score_residual}",
            f"worst parameter {self._worst()}",
            f"Pareto k        {self.pareto_k}",
            f"gradients       {self.cost.gradients}",
        ]
        if self.map is not None:
            lines.append(f"map             {self.map.named(self.names)}")
        if self.choices:
            best = min(choice.score for choice in self.choices)
            compared = ", ".join(f"{choice.name} {_ratio(choice.score / best)}" for choice in self.choices)
            lines.append(f"structure       {self._structure()} (predicted cost over the best: {compared})")
        for mode in self.modes:
            lines.append(f"mode            ELBO {mode.elbo}, about {mode.share:.1%} of the mass")
        mended = {name: count for name, count in dataclasses.asdict(self.repairs).items() if count}
        if mended:
            lines.append("repairs         " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in mended.items()))
        return "\n".join(lines)

    def _structure(self) -> str:
        """The name of the choice whose metric the fit has."""
        assert self.gaussian is not None
        return next((c.name for c in self.choices if c.metric is self.gaussian.metric), "dense")

    def _worst(self) -> str:
        if self.worst_coordinate is None:
            return "None"
        name, share = self.worst_coordinate
        return f"{name} ({share} of its score unexplained)"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A fit between two steps: enough for another process to end it as this one would."""

    state: AbstractFitState
    trace: tuple[StepInfo, ...]


def run(
    key: Key,
    target: AbstractTarget,
    algorithm: AbstractFit,
    *,
    initial=None,
    max_steps: int = MAX_STEPS,
    state: AbstractFitState | Checkpoint | None = None,
    callback: Callable[[StepInfo], None] | None = None,
    checkpoint: Callable[[Checkpoint], None] | None = None,
    throw: bool = False,
) -> FitResult:
    """Run `algorithm` to its end, or for `max_steps` steps in all.

    Step i uses a key that depends on `key` and i alone, so a fit resumed from `state` with the same key
    ends bit for bit where an uninterrupted one does. `callback` sees every step, and
    `checkpoint` what a fit may be resumed from after it, passed as `state`.

    **Raises** with `throw=True` a `MonochordError` when the fit found no start or diverged.
    """
    trace: list[StepInfo] = []
    if isinstance(state, Checkpoint):
        state, trace = state.state, list(state.trace)
    words = key_words(key)
    if state is None:
        state = algorithm.init(key, target, initial)
    resumable = None
    while state.status is not FitStatus.no_finite_start and state.stage != "done":
        if resumable is None and state.num_steps >= max_steps:
            resumable = state
            state = dataclasses.replace(state, status=FitStatus.max_steps)
            if state.current is None:
                break
            state = dataclasses.replace(state, stage="check")
        state, info = algorithm.step(fold_words(words, 1, state.num_steps), target, state)
        trace.append(info)
        if checkpoint is not None and resumable is None:
            checkpoint(Checkpoint(state, tuple(trace)))
        if callback is not None:
            callback(info)
    if throw and state.status in (FitStatus.no_finite_start, FitStatus.diverged):
        raise MonochordError(f"{state.status.value} Run the model check for its causes: `monochord.check(target)`.")
    return dataclasses.replace(_result(target, state, tuple(trace)), state=resumable or state)


def _result(target, state, trace) -> FitResult:
    best = state.best
    pareto_k, share, worst = None, 0.0, None
    if state.check is not None:
        share = float(np.mean(~state.check.finite()))
        pareto_k = _pareto_k(elbo_terms(best.gaussian, state.check))
        worst = _worst_coordinate(target, best.gaussian, state.check)
    finished = state.status in (FitStatus.converged, FitStatus.settled, FitStatus.given)
    residual = best.residual if best is not None else None
    modes, choices = getattr(state, "modes", ()), getattr(state, "choices", ())
    judgement = judge(
        residual,
        pareto_k,
        finished,
        state.status.value,
        share,
        worst,
        state.indefinite,
        [mode.share for mode in modes],
        state.radial,
        state.gain,
    )
    if state.status is FitStatus.diverged:
        judgement = Verdict("do not use", (state.status.value,))
    elif best is not None and any(c.name == "isotropic" and c.metric is best.gaussian.metric for c in choices):
        judgement = dataclasses.replace(judgement, reasons=(*judgement.reasons, NOTHING_PAYS))
    return FitResult(
        gaussian=best.gaussian if best is not None else None,
        elbo=best.elbo if best is not None else None,
        score_residual=residual,
        worst_coordinate=worst,
        pareto_k=pareto_k,
        status=state.status,
        judgement=judgement,
        cost=state.cost,
        repairs=state.repairs,
        trace=trace,
        names=target.names,
        state=state,
        modes=modes,
        choices=choices,
        indefinite_share=state.indefinite,
        radial_spread=state.radial,
        gain_over_identity=state.gain,
    )


def _worst_coordinate(target, gaussian, points) -> tuple[str, Estimate] | None:
    points = points.take(points.finite())
    if len(points.x) < 2:
        return None
    shares = coordinate_residuals(gaussian, points)
    index = int(np.argmax(shares.mean(0)))
    return target.names[index], mean_estimate(shares[:, index])


def _pareto_k(log_ratios) -> Estimate:
    """Tail index of the importance ratios p/q by Pareto smoothing (arviz-stats), with its standard error.

    The error is the asymptotic one of a generalised Pareto shape from M tail draws, (1 + k)/√M.
    """
    from monochord.mixing import pareto_shape

    log_ratios = log_ratios[np.isfinite(log_ratios)]
    if len(log_ratios) and np.ptp(log_ratios) <= 1e-8 * (1.0 + np.max(np.abs(log_ratios))):
        return Estimate(0.0, 0.0, len(log_ratios))  # equal to rounding: there is no tail
    if len(log_ratios) < 25:
        return Estimate(float("nan"), float("nan"), len(log_ratios))
    shape = pareto_shape(log_ratios)
    tail = min(0.2 * len(log_ratios), 3.0 * np.sqrt(len(log_ratios)))
    return Estimate(shape, float((1.0 + max(shape, -0.5)) / np.sqrt(tail)), len(log_ratios))
