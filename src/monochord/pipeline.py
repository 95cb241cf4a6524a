"""The public verbs: they join targets, fits, spectrum and sampling, and hold no mathematics."""

import dataclasses
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from monochord import fits, sampling, timing
from monochord.arrays import host_generator, named_key
from monochord.diagnosis import diagnose
from monochord.errors import ModelError, OptionError
from monochord.fits import FitResult, FitStatus, Staged
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.output import to_output
from monochord.plan import FAMILIES, SampleOptions, check_memory, plan
from monochord.progress import Reporter, reporter
from monochord.settings import check_choice, check_count, check_fraction
from monochord.spectra import Spectrum
from monochord.targets import (
    AbstractTarget,
    Findings,
    callable_target,
    check_signature,
    check_target,
    numpyro_target,
    with_data,
)


def target(
    model: Callable | AbstractTarget,
    *,
    data: Mapping[str, Any] | None = None,
    init: Any = None,
    constrain: Callable | None = None,
) -> AbstractTarget:
    """What to sample, from a NumPyro model or a JAX log density.

    Without `init`, `model` is a NumPyro model called as ``model(**data)``. With `init` (a pytree of
    unconstrained parameters, or a function of the data that makes one) it is a log density called as
    ``model(params, **data)``, log Jacobians included, and `constrain(params, **data)` may name what to
    report. Arrays and lists in `data` are traced: a second data set of the same shape compiles nothing.

    **Raises** `ModelError`, `DataError` or `MissingPackage` with what is wrong and how to mend it.
    """
    if isinstance(model, AbstractTarget):
        return model
    if not callable(model):
        raise ModelError(
            f"a model of type {type(model).__name__} is not understood. Pass a NumPyro model (a function), or a JAX "
            "log density with `init=`."
        )
    timing.listen()
    if init is None:
        return numpyro_target(model, data)
    start = init(**(data or {})) if callable(init) else init
    return callable_target(model, start, data, constrain)


def check(model: Callable | AbstractTarget, *, seed: int = 0, **model_options) -> Findings:
    """Run the named checks on a model before anything else; findings with level "ok", "warning" or
    "error", and in `gradients` what it cost.

    **Raises** `ModelError` when the log density cannot be evaluated at all.
    """
    seed = _resolved_seed(seed)
    return check_target(target(model, **model_options), host_generator(named_key(seed, "check")))


def fit(
    model: Callable | AbstractTarget,
    *,
    seed: int | None = None,
    algorithm: fits.AbstractFit | None = None,
    family: str | None = None,
    initial=None,
    max_steps: int = fits.MAX_STEPS,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
) -> FitResult:
    """Fit a Gaussian whose covariance serves as the metric.

    `family` is "dense", "diagonal" or "low_rank" (by dimension where None); `algorithm` overrides it.
    `initial` gives unconstrained starts, shape (dim,) or (n, dim). `progress` is True, False, a function of
    `StepInfo`, or None: a bar where standard error is a terminal. Never raises because the algorithm did
    not arrive: look at `status` and `verdict`.

    **Raises** `ModelError` when the density is nowhere finite at the starts.
    """
    chosen = target(model, **model_options)
    check_signature(chosen)
    _note_precision()
    report = reporter(progress)
    seed = _resolved_seed(seed, report)
    if algorithm is None:
        check_choice("family", family, (None, *FAMILIES))
        algorithm = Staged() if family is None else Staged(family=FAMILIES[family]())
    started = time.perf_counter()
    with report:
        result = fits.run(
            named_key(seed, "fit"), chosen, algorithm, initial=_flat_initial(chosen, initial), max_steps=max_steps,
            callback=report.fit_step,
        )  # fmt: skip
        report.fit_done(result)
    if result.status is FitStatus.no_finite_start:
        raise ModelError(_no_start_message(chosen, result, initial))
    return dataclasses.replace(result, seed=seed, seconds=time.perf_counter() - started)


def fit_many(
    model: Callable | AbstractTarget,
    datasets: Sequence[Mapping[str, Any]],
    *,
    seed: int | None = None,
    algorithm: fits.AbstractFit | None = None,
    family: str | None = None,
    progress: bool | Callable | Reporter | None = False,
    **model_options,
) -> list[FitResult]:
    """One fit for each data set of one model; after the first, nothing compiles.

    All data sets have the names, shapes and plain numbers of the first. Fit i uses a seed that depends on `seed` and i
    alone. Where one of them has no finite start, its place holds a result with that status.

    **Raises** `DataError` before any work where the data sets differ in shape.
    """
    if not datasets:
        return []
    first = target(model, **({} if isinstance(model, AbstractTarget) else {"data": datasets[0]}), **model_options)
    targets = [with_data(first, data) for data in datasets]
    seed = _resolved_seed(seed)
    check_choice("family", family, (None, *FAMILIES))
    algorithm = algorithm or Staged(family=FAMILIES[family]() if family else None)
    check_signature(first)
    _note_precision()
    results, report = [], reporter(progress)
    with report:
        for index, one in enumerate(targets):
            started = time.perf_counter()
            result = fits.run(named_key(seed, f"fit {index}"), one, algorithm, callback=report.fit_step)
            results.append(dataclasses.replace(result, seed=seed, seconds=time.perf_counter() - started))
    return results


def spectrum(
    model: Callable | AbstractTarget,
    fit: FitResult | Gaussian | None = None,
    *,
    at="fit",
    metrics: Mapping[str, AbstractMetric] | None = None,
    seed: int | None = None,
    num_draws: int = 16,
    target_accept: float = 0.8,
    **model_options,
) -> Spectrum:
    """Frequencies, predicted costs and the cost functional under the identity, the best diagonal and the fitted metric.

    `at` says where the Hessian is taken: "fit" (averaged over `num_draws` draws of the fit), "mean" (at its mean),
    unconstrained points of shape (dim,) or (n, dim), or a result of `sample`, whose posterior draws are then used.
    `metrics` adds rows, name by name. `fit` may also be a `Gaussian` made by hand.

    Up to 1,000 coordinates it costs ``2 · num_draws · dim`` gradients of dense Hessians; above, Lanczos with 80
    products over 4 draws for each metric, and every value comes with its error bound. With "fit", 64 draws are
    moved by three short transitions for the cost functional.

    **Raises** `OptionError` for `at` or `metrics` that do not fit the target, and `ModelError` when the fit found
    no Gaussian or no Hessian is finite.
    """
    check_count("num_draws", num_draws, 1, 10_000)
    check_fraction("target_accept", target_accept)
    chosen = target(model, **model_options)
    seed = _resolved_seed(seed)
    result = fit if fit is not None else _fit(chosen, seed=seed)
    if isinstance(result, FitResult):
        _check_belongs(result, chosen)
        gaussian, verdict = _gaussian_of(result), result.verdict
    else:
        gaussian, verdict = result, "given"
    key = named_key(seed, "spectrum")
    return diagnose(key, chosen, gaussian, verdict, at, num_draws, target_accept, dict(metrics or {}))


_fit = fit  # `spectrum` and `sample` take a parameter of the same name


def sample(
    model: Callable | AbstractTarget,
    *,
    fit: FitResult | None = None,
    seed: int | None = None,
    chains: int = 4,
    draws: int = 1000,
    kernel: str = "nuts",
    metric: str | AbstractMetric = "auto",
    initial=None,
    step_size: float | None = None,
    target_accept: float = 0.8,  # Stan's default for adapt_delta (reference manual)
    max_tree_depth: int = 10,  # Stan's default
    target_ess: float | None = None,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
):
    """Sample a posterior; an ArviZ DataTree with groups posterior, sample_stats and observed_data.

    One call with no options fits, tunes and samples. What is stated overrides what would be chosen:

    - `fit`: a result of `mc.fit`; `initial`: unconstrained starts of the chains (and of the fit made here)
    - `metric`: "auto" (the fit's, by its verdict), "identity", "diagonal", "dense", "low_rank", or a metric
      object, which is used as it stands
    - `step_size` (whitened time units; then not adapted), `target_accept`, `kernel` ("nuts" or "hmc", HMC with
      jittered length), `max_tree_depth` (2**depth − 1 leapfrogs at most, for both kernels)
    - `target_ess`: stop when the smallest of bulk and tail ESS reaches it, or at `draws`

    Every gradient is in `sample_stats.attrs`. Ctrl-C keeps the draws so far, with status "interrupted".

    **Raises** `OptionError` for an option out of range and `ModelError` for a model that cannot be sampled.
    """
    options = SampleOptions(chains, draws, kernel, metric, step_size, target_accept, max_tree_depth, target_ess)
    chosen = target(model, **model_options)
    check_memory(chains, draws, chosen.dim)
    report = reporter(progress)
    seed = _resolved_seed(seed, report)
    flat = _flat_initial(chosen, initial)
    with report:
        if fit is None:
            fit = _fit(chosen, seed=seed, family=options.family, initial=flat, progress=report)
        _check_belongs(fit, chosen)
        gaussian = _gaussian_of(fit)
        settings, chosen_metric = plan(fit, gaussian, options, flat is not None)
        residual = fit.score_residual.value if fit.score_residual is not None else 1.0
        drawn = sampling.run_chains(
            named_key(seed, "sample"), chosen, gaussian, chosen_metric, residual, settings, flat, report.sampling
        )
        report.sampling_done(drawn)
    name = metric if isinstance(metric, str) else type(metric).__name__
    return to_output(chosen, fit, drawn, seed, settings, name)


def _check_belongs(result: FitResult, chosen: AbstractTarget) -> None:
    if result.names != chosen.names:
        raise OptionError(
            f"`fit` belongs to another target: its first coordinates are {result.names[:3]}, the target's {chosen.names[:3]}. "
            "A metric only makes sense on its own coordinates. Fit this target."
        )


def _gaussian_of(result: FitResult) -> Gaussian:
    if result.gaussian is None or result.status is FitStatus.diverged:
        name, extent = result.furthest()
        raise ModelError(
            f"{result.status.value} The scale of `{name}` grew to {extent:.1e}. Such a posterior has no finite spread to "
            "sample. Give every parameter a proper prior, and check that the density falls off in all directions."
        )
    return result.gaussian


def _no_start_message(chosen, result: FitResult, initial) -> str:
    where = "the given starts" if initial is not None else "every random start within ±2, ±1 and ±0.1 of the centre"
    return (
        f"the log density or its gradient is not finite at {where} ({result.cost.gradients} points). A fit needs one "
        "finite point to begin. Look for logarithms of negative numbers or observations outside the support, or pass "
        "`initial=` with a point of positive density."
    )


def _flat_initial(chosen: AbstractTarget, initial) -> np.ndarray | None:
    if initial is None:
        return None
    x = np.asarray(initial, dtype=np.float64)
    if x.ndim not in (1, 2) or x.shape[-1] != chosen.dim:
        raise OptionError(
            f"`initial` has shape {x.shape}, but the target has {chosen.dim} unconstrained coordinates "
            f"({', '.join(chosen.names[:4])}…). Pass shape ({chosen.dim},) or (n, {chosen.dim})."
        )
    return np.atleast_2d(x)


def _resolved_seed(seed: int | None, report: Reporter | None = None) -> int:
    if seed is None:
        seed = secrets.randbits(31)
        if report is not None:
            report.note(f"seed {seed}")
    return check_count("seed", seed, 0, 2**63 - 1)


def _note_precision() -> None:
    import jax

    if not jax.config.jax_enable_x64 and not getattr(_note_precision, "said", False):  # type: ignore[attr-defined]
        _note_precision.said = True  # type: ignore[attr-defined]
        print(
            "monochord: JAX runs in 32-bit floating point; call jax.config.update('jax_enable_x64', True) first for "
            "models with much data or very unequal scales.",
            file=sys.stderr,
        )
