"""The public verbs that draw: `sample` and `extend`. They join fit, plan, chains and output, and hold no mathematics."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from monochord import fits, pipeline, sampling
from monochord.arguments import check_belongs, flat_initial, gaussian_of, note_precision, resolved_seed
from monochord.arrays import named_key
from monochord.beginnings import beginnings, confirmed, unit_gaussian
from monochord.continuation import along_its_map, remembered, segment_of, standpoint_of
from monochord.cost import Cost
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of
from monochord.metrics import AbstractMetric
from monochord.output import attributes_of, to_output
from monochord.plan import SampleOptions, plan
from monochord.progress import Reporter, reporter
from monochord.sampling import SamplerSettings
from monochord.targets import AbstractTarget, check_signature
from monochord.traces import add_traces, keep_traces


def sample(
    model: Any,
    *,
    fit: FitResult | Gaussian | bool | None = None,
    seed: int | None = None,
    chains: int = 4,
    draws: int | None = None,
    kernel: str = "auto",
    metric: str | AbstractMetric = "auto",
    initial=None,
    step_size: float | int | None = None,
    target_accept: float | None = None,
    max_tree_depth: int = 10,  # Stan's default
    target_ess: float | int | None = None,
    max_draws: int | None = None,
    max_gradients: float | int | None = None,
    max_time: float | int | None = None,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
):
    """Sample a posterior until its ESS is enough; an ArviZ DataTree with groups posterior, sample_stats and observed_data.

    One call with no options fits, tunes, chooses the kernel, and samples until the smallest of bulk and tail ESS over
    the parameters is 400 and R̂ is below 1.01 plus its noise there. What is stated overrides what would be chosen:

    - `fit`: a result of `mc.fit` or a `Gaussian`, measured on this target where it was not made for it; False for none
    - `initial`: unconstrained starts of the chains (and of the fit made here)
    - `metric`: "auto" (the fit's, by its verdict), "identity", "diagonal", "dense", "low_rank", or a metric
      object, which is used as it stands
    - `kernel`: "auto" (by the verdict, or a short pilot of both), "nuts", or "hmc" with jittered length
    - `step_size` (whitened time units; then not adapted); `target_accept` (.8, but .9 where the curvature turns over within
      the posterior and .95 where the fit is refused); `max_tree_depth` (2**depth − 1 leapfrogs at most, both kernels)
    - `draws`: a fixed number a chain; with `target_ess`, the most there may be
    - `target_ess`, and the limits `max_draws` (a chain), `max_gradients` and `max_time` (seconds), both from the first
      start of a chain on. Where a limit ends the run, `sample_stats.attrs` says so in `status`, with `advice`

    Every gradient is in `sample_stats.attrs`. Ctrl-C keeps the draws so far, with status "interrupted".

    **Raises** `OptionError` for an option out of range and `ModelError` for a model that cannot be sampled.
    """
    options = SampleOptions(
        chains, draws, kernel, metric, step_size, target_accept, max_tree_depth, target_ess, max_draws, max_gradients, max_time
    )  # fmt: skip
    target = pipeline.target(model, **model_options)
    options.most_draws(target.dim)
    note_precision()
    report = reporter(progress)
    seed = resolved_seed(seed, report)
    starts = flat_initial(target, initial)
    with report:
        known, cost, note = _fit_for(target, fit, seed, options, starts, report)
        target = in_coordinates_of(target, known)
        starts = target.from_unconstrained(starts) if starts is not None else None
        gaussian = gaussian_of(known) if known is not None else unit_gaussian(target)
        settings, first_metric, believed = plan(target.names, known, gaussian, options, starts is not None)
        key = named_key(seed, "sample")
        begun, spent = beginnings(key, target, known, gaussian, believed, first_metric, chains, starts)
        judged = gaussian if known is not None and len(begun) == 1 else None  # chains of other modes say nothing of it
        drawn = sampling.run_chains(key, target, begun, cost + spent, settings, judged, report.sampling)
        report.sampling_done(drawn)
    name = metric if isinstance(metric, str) else type(metric).__name__
    attributes = attributes_of(target, known, drawn, seed, name, note) | {"call": _call(options, seed, fit)}
    return add_traces(to_output(target, drawn.segment, drawn.standpoint, attributes), known, drawn)


def _call(options: SampleOptions, seed: int, fit) -> str:
    """The call that makes this run again, as far as text can say it: what differs from the defaults."""
    given = "" if fit is None or fit is True else f", fit={fit if fit is False else '…'}"
    changed = [
        (field.name, getattr(options, field.name))
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    ]
    stated = "".join(
        f", {name}={value!r}" if isinstance(value, (str, int, float)) else f", {name}=…" for name, value in changed
    )
    return f"mc.sample(model, seed={seed}{given}{stated})"


def _fit_for(target, fit, seed: int, options, starts, report) -> tuple[FitResult | None, Cost, str]:
    """The fit to sample with, what looking at a given one cost, and a sentence where that one is not used."""
    if fit is False:
        check_signature(target)
        return None, Cost(), ""
    cost, note = Cost(), ""
    if isinstance(fit, Gaussian):
        given = fits.run(named_key(seed, "given"), target, fits.Given(fit))
        if given.verdict != "do not use":
            return given, cost, note
        cost, note = given.cost, (
            f'Measured on this target, the Gaussian handed over has a score residual of {given.score_residual} and the verdict '
            '"do not use": a fit was made instead.'
        )  # fmt: skip
        report.note(note)
    elif isinstance(fit, FitResult):
        check_belongs(fit, target)
        gaussian_of(fit)
        kept, cost, note = confirmed(named_key(seed, "confirm"), in_coordinates_of(target, fit), fit)
        if kept is not None:
            return kept, cost, note
        report.note(note)
    elif fit is not None and fit is not True:
        raise OptionError(
            f"`fit` is a {type(fit).__name__}. It may be a result of `monochord.fit`, a `Gaussian`, or False for no fit. "
            "Leave it out to have a fit made."
        )
    return pipeline.fit(target, seed=seed, family=options.family, initial=starts, progress=report), cost, note


def extend(
    data,
    /,
    model: Any = None,
    *,
    draws: int | None = None,
    target_ess: float | int | None = None,
    max_draws: int | None = None,
    max_gradients: float | int | None = None,
    max_time: float | int | None = None,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
):
    """More draws of a finished run: its chains go on where they stand, with its metric, step size and kernel.

    `data` is a result of `mc.sample`; a new result with old and new draws comes back, the same bit for bit as one longer
    run. `draws` (a chain) is how many more; without it the run goes on until `target_ess` (400 by default, of all draws
    together), within `max_draws` more. `model` (with `data=`-like options of `mc.target`) is needed for a result that
    was read from a file.

    **Raises** `OptionError` for a result without its sampler state or another model's, or an option out of range.
    """
    standpoint = standpoint_of(data)
    target = remembered(data) if model is None else pipeline.target(model, **model_options)
    if target is None:
        raise OptionError(
            "`data` was not made in this process, so its model is not known. A file holds draws, not densities. Pass the "
            "same model: `extend(data, model, …)`."
        )
    _check_same(data, target)
    if model is not None:
        target = along_its_map(data, target)
    before = segment_of(data, target)
    attributes = {
        name: getattr(value, "item", lambda v=value: v)() for name, value in data["sample_stats"].attrs.items()
    }
    options = SampleOptions(
        len(before.x), draws, target_ess=target_ess, max_draws=max_draws, max_gradients=max_gradients, max_time=max_time
    )
    settings = SamplerSettings(
        len(before.x), options.most_draws(target.dim), standpoint.kernel, 0.8, standpoint.max_tree_depth, True,
        target_ess=options.wanted_ess(), max_gradients=max_gradients or float("inf"), max_seconds=max_time or float("inf"),
    )  # fmt: skip
    report = reporter(progress)
    with report:
        drawn = sampling.continue_chains(
            named_key(int(attributes["seed"]), "sample"), target, standpoint, settings, before, report.sampling
        )
        report.sampling_done(drawn)
    joined = sampling.Segment(*(np.concatenate(pair, axis=1) for pair in zip(before, drawn.segment, strict=True)))
    return keep_traces(to_output(target, joined, drawn.standpoint, attributes | _added(attributes, drawn)), data)


def _added(attributes: dict[str, Any], drawn) -> dict[str, Any]:
    return {
        "gradients_sampling": int(attributes["gradients_sampling"]) + drawn.gradients_sampling,
        "seconds_sampling": float(attributes["seconds_sampling"]) + drawn.seconds_sampling,
        "status": drawn.status,
        "advice": json.dumps([] if "before the target ESS" not in drawn.status else json.loads(attributes["advice"])),
    }


def _check_same(data, target: AbstractTarget) -> None:
    names = tuple(str(name) for name in data["unconstrained_posterior"]["coordinate"].values)
    if names != target.names:
        raise OptionError(
            f"`data` has the coordinates {', '.join(names[:3])}…, the model has {', '.join(target.names[:3])}…. A run can only go "
            "on with the model it began with. Pass that one."
        )
