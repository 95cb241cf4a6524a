"""Chains for each separate mode, each with a fit and a metric of its own, put together by estimated weights."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from monochord import sampling
from monochord.arguments import gaussian_of
from monochord.arrays import Key, fold_key, host_generator, named_key
from monochord.beginnings import beginnings
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.fits import FitResult, Mode
from monochord.mapping import in_coordinates_of
from monochord.mixture._base import Asked, GivenUp, ModeRun, Unseen, is_cut_short, possible_modes
from monochord.mixture._fits import Part, mapped_fits, parts_of, separate
from monochord.mixture._output import BY_SHARES, HOW, add_modes, attributes, in_words
from monochord.mixture._weigh import bridge_limit, by_shares, heaviest_first, mixed, weighed
from monochord.output import to_output
from monochord.plan import SampleOptions, plan
from monochord.progress import Reporter
from monochord.sampling import Draws
from monochord.targets import AbstractTarget
from monochord.traces import add_traces

MAX_ATTEMPTS = 2


def sampled_by_modes(
    target: AbstractTarget,
    known: FitResult,
    asked: Asked,
    report: Reporter,
    describe: Callable[[dict], dict],
    cost: Cost,
) -> Any:
    """The DataTree of a run with chains for each mode of `known`; `cost` is what came before, and `describe` completes the attributes.

    Where chains turn out not to see all that is theirs, regions are made once more, from the draws. **Raises** `GivenUp` where a
    mode has no fit, one is left, or the weights cannot be told.
    """
    if sampling.num_hosts() > 1:
        raise GivenUp("Runs over several hosts have chains that started in each mode, and no weights.")
    key = named_key(asked.seed, "modes")
    modes, before = separate(target, known)
    for number in range(MAX_ATTEMPTS):
        try:
            return _attempt(fold_key(key, number), target, modes, known, asked, report, describe, cost + before)
        except GivenUp as given_up:
            before += given_up.cost
            modes = list(given_up.modes)
            if not isinstance(given_up, Unseen) or number + 1 == MAX_ATTEMPTS:
                raise type(given_up)(str(given_up), before, modes) from None
    raise AssertionError("the last attempt ends the loop")


def _attempt(
    key: Key, target, modes: list[Mode], known: FitResult, asked: Asked, report: Reporter, describe, cost: Cost
):
    """One round of fits, chains and weights."""
    clock = [time.perf_counter()]
    regions, parts, left, spent = parts_of(fold_key(key, 0), target, modes, known, asked, report)
    if asked.looks_for_map and known.map is None:
        parts, more = mapped_fits(fold_key(key, 4), parts, report)
        spent += more
    for part in parts:
        report.fit_done(part.fit)
    left = [*left, *(mode for mode in known.modes if not any(mode is one for one in possible_modes(known)))]
    clock.append(time.perf_counter())
    runs = _runs(fold_key(key, 1), parts, asked, report)
    left += [part.mode for part in parts[len(runs) :]]
    clock.append(time.perf_counter())
    found, how = by_shares(runs), BY_SHARES
    if len(runs) == len(parts) and not is_cut_short(runs):
        try:
            runs, found = weighed(fold_key(key, 2), runs, regions, spent, asked.options)
            how = HOW
        except KeyboardInterrupt:
            runs = [*runs[:-1], _ended(runs[-1], "interrupted")]
    runs, found = heaviest_first(runs, found)
    seconds = clock[1] - clock[0], time.perf_counter() - clock[2]
    segment, mode = mixed(host_generator(fold_key(key, 3)), runs, found, regions, asked.options)
    words = in_words(runs, found, left, how)
    attrs = describe(attributes(known, spent, runs, asked, cost, words, seconds) | {"weights": how})
    tree = to_output(target, segment, None, attrs)
    add_modes(tree, mode, runs, found, left, how, target)
    return add_traces(tree, known, runs[0].drawn.warmup)


def _runs(key: Key, parts: list[Part], asked: Asked, report: Reporter) -> list[ModeRun]:
    """Chains of every mode in turn, until one is interrupted or stopped. What came before it is kept."""
    runs: list[ModeRun] = []
    for k, part in enumerate(parts):
        report.note(f"mode {k + 1} of {len(parts)}")
        try:
            drawn = _chains(fold_key(key, k), part, _left(asked.options, runs, len(parts) - k), report)
        except (ModelError, KeyboardInterrupt) as error:
            if not runs:
                raise
            said = f"{sampling.STOPPED}: {error}" if isinstance(error, ModelError) else "interrupted"
            return [*runs[:-1], _ended(runs[-1], said)]
        runs.append(ModeRun(k, part.mode, in_coordinates_of(part.target, part.fit), part.fit, drawn))
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


def _chains(key: Key, part: Part, options: SampleOptions, report: Reporter) -> Draws:
    fit = part.fit
    there, gaussian = in_coordinates_of(part.target, fit), gaussian_of(fit)
    settings, metric, believed = plan(there.names, fit, gaussian, options, False)
    begun, spent = beginnings(key, there, fit, gaussian, believed, metric, options.chains, None)
    drawn = sampling.run_chains(key, there, begun, spent, settings, gaussian, report.sampling)
    report.sampling_done(drawn)
    return drawn
