"""Chains for each separate mode, each with a fit and a metric of its own, put together by estimated weights."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from monochord import sampling
from monochord.arguments import gaussian_of
from monochord.arrays import Key, fold_key, host_generator, named_key
from monochord.beginnings import beginnings
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.fits import FitResult
from monochord.mapping import in_coordinates_of
from monochord.mixture._base import Asked, GivenUp, ModeRun, is_cut_short, kept_modes
from monochord.mixture._fits import fitted, mapped_fits
from monochord.mixture._output import BY_SHARES, HOW, add_modes, attributes, in_words
from monochord.mixture._weigh import bridge_limit, by_shares, mixed, weighed
from monochord.output import to_output
from monochord.plan import SampleOptions, plan
from monochord.progress import Reporter
from monochord.sampling import Draws
from monochord.targets import AbstractTarget
from monochord.traces import add_traces


def obstacle(target: AbstractTarget, fit: FitResult | None) -> str | None:
    """Why modes of a fit cannot have chains of their own; None where nothing stands against it."""
    if fit is None or fit.gaussian is None or len(kept_modes(fit)) < 2:
        return "The fit found one mode."
    if sampling.num_hosts() > 1:
        return "The weights of modes are not estimated in runs over several hosts."
    return None


def sampled_by_modes(
    target: AbstractTarget,
    known: FitResult,
    asked: Asked,
    report: Reporter,
    describe: Callable[[dict], dict],
    cost: Cost,
) -> Any:
    """The DataTree of a run with chains for each mode of `known`; `cost` is what came before, and `describe` completes the attributes.

    **Raises** `GivenUp` where a mode has no fit, or the weights cannot be told.
    """
    why = obstacle(target, known)
    if why is not None:
        raise GivenUp(why)
    modes = kept_modes(known)
    key, clock = named_key(asked.seed, "modes"), [time.perf_counter()]
    regions, parts, found_fits, spent = fitted(fold_key(key, 0), target, modes, known, asked, report)
    if asked.looks_for_map and known.map is None:
        found_fits, more = mapped_fits(fold_key(key, 4), parts, found_fits, report)
        spent += more
    for fit in found_fits:
        report.fit_done(fit)
    clock.append(time.perf_counter())
    runs = _runs(fold_key(key, 1), modes, parts, found_fits, asked, report)
    clock.append(time.perf_counter())
    found, how = by_shares(runs), BY_SHARES
    if len(runs) == len(modes) and not is_cut_short(runs):
        try:
            runs, found = weighed(fold_key(key, 2), runs, regions, spent, asked.options)
            how = HOW
        except KeyboardInterrupt:
            runs = [*runs[:-1], _ended(runs[-1], "interrupted")]
    seconds = clock[1] - clock[0], time.perf_counter() - clock[2]
    segment, mode = mixed(host_generator(fold_key(key, 3)), runs, found, regions, asked.options)
    words = in_words(runs, found, known, how)
    attrs = describe(attributes(known, spent, runs, asked, cost, words, seconds) | {"weights": how})
    tree = to_output(target, segment, None, attrs)
    add_modes(tree, mode, runs, found, known, how, target.names)
    return add_traces(tree, known, runs[int(np.argmax(found.values))].drawn.warmup)


def _runs(key: Key, modes, parts, found_fits, asked: Asked, report: Reporter) -> list[ModeRun]:
    """Chains of every mode in turn, until one is interrupted or stopped. What came before it is kept."""
    runs: list[ModeRun] = []
    for k, (mode, part, fit) in enumerate(zip(modes, parts, found_fits, strict=True)):
        report.note(f"mode {k + 1} of {len(modes)}")
        try:
            drawn = _chains(fold_key(key, k), part, fit, _left(asked.options, runs, len(modes) - k), report)
        except (ModelError, KeyboardInterrupt) as error:
            if not runs:
                raise
            said = f"{sampling.STOPPED}: {error}" if isinstance(error, ModelError) else "interrupted"
            return [*runs[:-1], _ended(runs[-1], said)]
        runs.append(ModeRun(mode, in_coordinates_of(part, fit), fit, drawn))
        if is_cut_short(runs):
            break
    return runs


def _ended(run: ModeRun, status: str) -> ModeRun:
    return dataclasses.replace(run, drawn=dataclasses.replace(run.drawn, status=status))


def _left(options: SampleOptions, runs: list[ModeRun], num_left: int) -> SampleOptions:
    """`options` with this mode's part of what is left of the limits."""
    changed: dict[str, Any] = {}
    if options.max_gradients is not None:
        used = sum(run.drawn.gradients_warmup + run.drawn.gradients_sampling for run in runs)
        reserved = bridge_limit(options, len(runs) + num_left) * (len(runs) + num_left)
        changed["max_gradients"] = max(1.0, (options.max_gradients - reserved - used) / num_left)
    if options.max_time is not None:
        used = sum(run.drawn.seconds_warmup + run.drawn.seconds_sampling for run in runs)
        changed["max_time"] = max(1e-3, (options.max_time - used) / num_left)
    return dataclasses.replace(options, **changed)


def _chains(key: Key, part: AbstractTarget, fit: FitResult, options: SampleOptions, report: Reporter) -> Draws:
    there, gaussian = in_coordinates_of(part, fit), gaussian_of(fit)
    settings, metric, believed = plan(there.names, fit, gaussian, options, False)
    begun, spent = beginnings(key, there, fit, gaussian, believed, metric, options.chains, None)
    drawn = sampling.run_chains(key, there, begun, spent, settings, gaussian, report.sampling)
    report.sampling_done(drawn)
    return drawn
