"""The public verbs that draw: `sample`, `resume` and `extend`. They check what they are given, and hold no mathematics."""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monochord import pipeline, sampling
from monochord.arguments import flat_initial, note_precision, resolved_seed
from monochord.arrays import named_key
from monochord.continuation import along_its_map, remember, remembered, segment_of, standpoint_of
from monochord.errors import LostProcess, OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.output import to_output, versions
from monochord.plan import SampleOptions
from monochord.progress import Reporter, reporter
from monochord.request import Request, carried_out
from monochord.sampling import SamplerSettings
from monochord.targets import AbstractTarget
from monochord.traces import keep_traces


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
    store=None,
    keep: str | Sequence[str] | None = None,
    thin: int = 1,
    block: int | None = None,
    chain_method: str = "auto",
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
    - `step_size` (whitened time units; then not adapted; along a map of products times a factor that follows the
      position); `target_accept` (.8, but .9 where the curvature turns over within the posterior and .95 where the fit is
      refused); `max_tree_depth` (2**depth − 1 leapfrogs at most, both kernels)
    - `draws`: a fixed number a chain; with `target_ess`, the most there may be
    - `target_ess`, and the limits `max_draws` (a chain), `max_gradients` and `max_time` (seconds), both from the first
      start of a chain on. Where a limit ends the run, `sample_stats.attrs` says so in `status`, with `advice`

    - `store`: a new folder to which draws stream in blocks while memory does not grow; `mc.resume` goes on after a crash,
      `mc.open_store` reads what is there. `keep` (names or patterns such as "beta*") and `thin` (every so many draws) choose
      what is stored; ESS and R̂ are judged on all parameters. `block` is the draws a chain that are committed together
    - `chain_method`: "threads", "vectorised" (chains are lanes of one program, shared out over the devices), or "auto":
      threads on one CPU and where the target needs them, else vectorised. Draws agree to rounding

    Every gradient is in `sample_stats.attrs`. Ctrl-C keeps the draws so far, with status "interrupted".

    **Raises** `OptionError` for an option out of range and `ModelError` for a model that cannot be sampled.
    """
    options = SampleOptions(
        chains, draws, kernel, metric, step_size, target_accept, max_tree_depth, target_ess, max_draws, max_gradients,
        max_time, chain_method,
    )  # fmt: skip
    stored = stored_where(store, keep, thin, block)
    target = pipeline.target(model, **model_options)
    options.most_draws(target.dim, stored is None)
    note_precision()
    report = reporter(progress)
    seed = resolved_seed(
        sampling.agreed(secrets.randbits(31)) if seed is None and sampling.num_hosts() > 1 else seed, report
    )
    request = Request(options, seed, fit, flat_initial(target, initial))
    if stored is None:
        return carried_out(target, request, report)
    from monochord import store as stores

    run = {"seed": seed, "fingerprint": stores.fingerprint(target), **machine()}
    opened = stores.begin_store(stored, run, request, sampling.is_first())
    return _stored_run(target, request, report, opened)


def _stored_run(target: AbstractTarget, request: Request, report: Reporter, opened):
    """Carry out a run in its store, and open what is then there."""
    from monochord import store as stores

    try:
        carried_out(target, request, report, opened)
    finally:
        opened.close()
    with contextlib.suppress(LostProcess):  # the draws so far are there
        sampling.wait_for_all("stored")
    return _remembered(stores.open_store(opened.root), target)


def stored_where(store, keep, thin: int, block: int | None):
    """The options of the store, None without one. **Raises** `OptionError` for options that need one."""
    if store is None:
        if keep is not None or thin != 1 or block is not None:
            raise OptionError(
                "`keep`, `thin` and `block` choose what a store holds, and there is no `store`. Pass `store=` too."
            )
        return None
    from monochord import store as stores

    if isinstance(store, stores.StoreOptions):
        return store
    return stores.StoreOptions(Path(store), stores.checked_keep(keep), thin, block)


def machine() -> dict[str, Any]:
    """What bits depend on beside the model and the seed."""
    import jax

    return {
        "versions": versions(), "x64": bool(jax.config.jax_enable_x64), "backend": jax.default_backend(),  # type: ignore[attr-defined]
        "devices": jax.local_device_count(), "hosts": sampling.num_hosts(), "cpus": os.cpu_count() or 1,
    }  # fmt: skip


def resume(
    store: str | os.PathLike,
    /,
    model: Callable | AbstractTarget,
    *,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
):
    """Go on with the run in a store whose process was killed or interrupted; an ArviZ DataTree, as from `sample`.

    The end is bit for bit that of a run that was never interrupted, on the same machine with the same versions, block
    length and devices, unless `max_time` ends it. A run that has ended comes back as it is; one that ended by Ctrl-C,
    `max_time` or an exception of the model's goes on. `model` (with options of `mc.target`) is the one it was begun with.

    **Raises** `OptionError` for another model or data, and where there is no store; `DataError` for a damaged store or one
    of another format; `OutputError` where another process writes it.
    """
    from monochord import store as stores

    report = reporter(progress)
    opened = stores.reopen_store(Path(store), sampling.is_first())
    try:
        target = pipeline.target(model, **model_options)
        stores.check_same(opened.run["fingerprint"], target)
        end = opened.ledger.last(stores.END)
        if end is None or _goes_on(end["status"]):
            _check_machine(opened.run, report)
            if end is not None and opened.is_writer:
                opened.ledger.withdraw_last()
            return _stored_run(target, opened.latest(stores.BEGIN), report, opened)
    finally:
        opened.close()
    return _remembered(stores.open_store(store), target)


def _remembered(tree, target: AbstractTarget):
    """`tree`, which knows its target from here on, along the run's map where it has one."""
    remember(tree, along_its_map(tree, target))
    return tree


def origin_of(store: Path) -> dict[str, Any] | None:
    """Where the command line found the model of a stored run; None for one that was begun from Python."""
    from monochord import store as stores

    return stores.run_of(store)["store"]["origin"]


def _goes_on(status: str) -> bool:
    return status == "interrupted" or status.startswith(("time limit", sampling.STOPPED))


def _check_machine(run: dict[str, Any], report: Reporter) -> None:
    """Say what may change the bits. **Raises** `OptionError` for another floating-point width."""
    now = machine()
    if now["x64"] != run["x64"]:
        raise OptionError(
            f"the run was begun with jax_enable_x64={run['x64']}, and it is {now['x64']} now. Its draws are of that width. Call "
            f"jax.config.update('jax_enable_x64', {run['x64']}) first."
        )
    other = [name for name in now if now[name] != run[name]]
    if other:
        report.note(
            f"another machine or other versions than the run began with ({', '.join(other)}): its draws go on, but may differ in "
            "rounding from those of an uninterrupted run"
        )


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
