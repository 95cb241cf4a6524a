"""The public verbs: they join targets, fits, spectrum and sampling, and hold no mathematics."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monochord import fits, timing
from monochord.arguments import (
    check_belongs,
    flat_initial,
    gaussian_of,
    no_start_message,
    note_precision,
    resolved_seed,
    start_of,
)
from monochord.arrays import host_generator, named_key
from monochord.diagnosis import diagnose
from monochord.errors import ModelError, OptionError
from monochord.fits import FitResult, FitStatus, Staged
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.plan import FAMILIES
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
    seed = resolved_seed(seed)
    return check_target(target(model, **model_options), host_generator(named_key(seed, "check")))


def fit(
    model: Callable | AbstractTarget,
    *,
    seed: int | None = None,
    algorithm: fits.AbstractFit | None = None,
    family: str | None = None,
    initial=None,
    start: FitResult | Gaussian | None = None,
    max_steps: int = fits.MAX_STEPS,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
) -> FitResult:
    """Fit a Gaussian whose covariance serves as the metric.

    `family` is "dense", "diagonal" or "low_rank" (by dimension where None); `algorithm` overrides it.
    `initial` gives unconstrained starts, shape (dim,) or (n, dim); `start` is an earlier fit of the same parameters, or a
    `Gaussian`, from which the default algorithm goes on without a search. `progress` is True, False, a function of
    `StepInfo`, or None: a bar where standard error is a terminal. Never raises because the algorithm did
    not arrive: look at `status` and `verdict`.

    **Raises** `ModelError` when the density is nowhere finite at the starts.
    """
    chosen = target(model, **model_options)
    check_signature(chosen)
    note_precision()
    report = reporter(progress)
    seed = resolved_seed(seed, report)
    if algorithm is None:
        check_choice("family", family, (None, *FAMILIES))
        begin = start_of(chosen, start)
        algorithm = Staged(start=begin) if family is None else Staged(family=FAMILIES[family](), start=begin)
    elif start is not None:
        raise OptionError(
            f"`start` and `algorithm` are both given. A start is part of an algorithm. Pass `{type(algorithm).__name__}"
            "(start=...)` where it takes one."
        )
    started = time.perf_counter()
    with report:
        result = fits.run(
            named_key(seed, "fit"), chosen, algorithm, initial=flat_initial(chosen, initial), max_steps=max_steps,
            callback=report.fit_step,
        )  # fmt: skip
        report.fit_done(result)
    if result.status is FitStatus.no_finite_start:
        raise ModelError(no_start_message(result, initial))
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
    seed = resolved_seed(seed)
    check_choice("family", family, (None, *FAMILIES))
    algorithm = algorithm or Staged(family=FAMILIES[family]() if family else None)
    check_signature(first)
    note_precision()
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
    seed = resolved_seed(seed)
    result = fit if fit is not None else _fit(chosen, seed=seed)
    if isinstance(result, FitResult):
        check_belongs(result, chosen)
        gaussian, verdict = gaussian_of(result), result.verdict
    else:
        gaussian, verdict = result, "given"
    key = named_key(seed, "spectrum")
    return diagnose(key, chosen, gaussian, verdict, at, num_draws, target_accept, dict(metrics or {}))


_fit = fit  # `spectrum` takes a parameter of the same name
