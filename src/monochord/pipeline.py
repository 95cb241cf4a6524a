"""The public verbs: they join targets, fits, spectrum and sampling, and hold no mathematics."""

import dataclasses
import os
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
from monochord.cost import Cost
from monochord.diagnosis import diagnose
from monochord.errors import ModelError, OptionError
from monochord.fits import FitResult, FitStatus, Staged
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of, with_map
from monochord.metrics import AbstractMetric
from monochord.plan import FAMILIES
from monochord.progress import Reporter, reporter
from monochord.settings import check_choice, check_count, check_fraction
from monochord.spectra import Spectrum
from monochord.targets import (
    AbstractTarget,
    Findings,
    HostTarget,
    Labels,
    check_signature,
    check_target,
    examine,
    make_target,
    refused,
    with_data,
)


def target(
    model: Any,
    *,
    data: Mapping[str, Any] | str | os.PathLike | None = None,
    init: Any = None,
    constrain: Callable | None = None,
    gradient: Callable | bool | None = None,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Any] | None = None,
    parallel: bool = True,
) -> AbstractTarget:
    """What to sample, from the model that you have.

    - A **NumPyro** model, called as ``model(**data)``.
    - A **JAX** log density with `init` (a pytree of unconstrained parameters, or a function of the data that makes one),
      called as ``model(params, **data)``, log Jacobians included. `constrain(params, **data)` may name what to report.
    - A **PyMC** or **Bambi** model: PyTensor compiles it for JAX; transforms, names, coords, dims and deterministics are
      kept. `data` may replace `pm.Data` and observed arrays by others of the same shape.
    - A **Stan** model: a `bridgestan.StanModel`, or the path of a .stan file with `data` (a dictionary or a JSON file).
    - **NumPy** functions, or another language's behind them: ``(log_density, gradient)``, or `gradient=`, with `init`.
      ``gradient=True`` says that `model` returns both. A third function may multiply the log density's Hessian with a
      direction. Chains call from threads of their own, one point at a time; ``parallel=False`` makes them take turns.

    Arrays and lists in `data` are traced: a second data set of the same shape compiles nothing. `coords` and `dims`
    name the places along axes and the axes of quantities, as in ArviZ.

    **Raises** `ModelError`, `DataError` or `MissingPackage` with what is wrong and how to mend it.
    """
    if isinstance(model, AbstractTarget):
        return model
    timing.listen()
    return make_target(model, data, init, constrain, gradient, Labels(coords, dims), parallel)


def check(model: Callable | AbstractTarget, *, seed: int = 0, **model_options) -> Findings:
    """Run the named checks on a model before anything else; findings with level "ok", "warning" or
    "error", and in `gradients` what it cost.

    **Raises** `ModelError` when the log density cannot be evaluated at all.
    """
    seed = resolved_seed(seed)
    return check_target(target(model, **model_options), host_generator(named_key(seed, "check")))


def doctor(model: Any, *, seed: int = 0, **model_options) -> Findings:
    """Ten named checks of a model, each with a level ("ok", "warning", "error", "not checked") and one line of advice.

    Finite at starts; gradient against finite differences; deterministic; float64; shape; idle parameters; discontinuities;
    improper directions; scales; speed. Takes a few hundred gradients, counted in `gradients`. A model that cannot be
    evaluated has its error at "shape".
    """
    seed = resolved_seed(seed)
    try:
        chosen = target(model, **model_options)
    except ModelError as error:
        return refused(error)
    return examine(chosen, host_generator(named_key(seed, "doctor")))


def fit(
    model: Any,
    *,
    seed: int | None = None,
    algorithm: fits.AbstractFit | None = None,
    family: str | None = None,
    initial=None,
    start: FitResult | Gaussian | None = None,
    max_steps: int = fits.MAX_STEPS,
    maps: bool = True,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
) -> FitResult:
    """Fit a Gaussian whose covariance serves as the metric.

    `family` is "dense", "diagonal" or "low_rank" (by dimension where None); `algorithm` overrides it.
    `initial` gives unconstrained starts, shape (dim,) or (n, dim); `start` is an earlier fit of the same parameters, or a
    `Gaussian`, from which the default algorithm goes on without a search, along the map of that fit where it has one. `progress` is True, False, a function of
    `StepInfo`, or None: a bar where standard error is a terminal. Never raises because the algorithm did
    not arrive: look at `status` and `verdict`. Where the linear fit is refused, or its curvature turns over at most of its draws,
    the default algorithm also looks for a map that takes out scales and locations which depend on other coordinates (funnels,
    centred hierarchies, curved valleys) or stretches the radius of a Student-t; where it leaves doubts, one that stretches skewed or heavy-tailed
    coordinates one by one. It keeps the fit in its coordinates where that pays: `fit.map`. ``maps=False`` leaves
    that out; fits with `initial` have none.

    **Raises** `ModelError` when the density is nowhere finite at the starts.
    """
    chosen = target(model, **model_options)
    check_signature(chosen)
    note_precision()
    report = reporter(progress)
    seed = resolved_seed(seed, report)
    if algorithm is None:
        along = start if isinstance(start, FitResult) and start.map is not None else None
        looks_for_map = maps and initial is None and along is None
        chosen_algorithm = algorithm_for(family, start_of(chosen, start))
        return fitted(
            chosen, seed, chosen_algorithm, initial, max_steps, report, looks_for_map=looks_for_map, along=along
        )  # fmt: skip
    if start is not None:
        raise OptionError(
            f"`start` and `algorithm` are both given. A start is part of an algorithm. Pass `{type(algorithm).__name__}"
            "(start=...)` where it takes one."
        )
    return fitted(chosen, seed, algorithm, initial, max_steps, report)


def algorithm_for(family: str | None, start: Gaussian | None = None) -> fits.AbstractFit:
    """The default algorithm. **Raises** `OptionError` for an unknown family."""
    check_choice("family", family, (None, *FAMILIES))
    return Staged(start=start) if family is None else Staged(family=FAMILIES[family](), start=start)


def fitted(
    chosen: AbstractTarget,
    seed: int,
    algorithm: fits.AbstractFit,
    initial,
    max_steps: int,
    report: Reporter,
    state: fits.Checkpoint | None = None,
    checkpoint: Callable[[fits.Checkpoint], None] | None = None,
    looks_for_map: bool = False,
    along: FitResult | None = None,
) -> FitResult:
    """`fit` with everything decided: begun, or taken up at `state`; `checkpoint` sees such states after every step.

    `along` is a fit whose map gives the coordinates.
    """
    started = time.perf_counter()
    coordinates, starts = in_coordinates_of(chosen, along), flat_initial(chosen, initial)
    with report:
        result = fits.run(
            named_key(seed, "fit"), coordinates, algorithm, max_steps=max_steps, state=state, callback=report.fit_step,
            initial=coordinates.from_unconstrained(starts) if starts is not None else None, checkpoint=checkpoint,
        )  # fmt: skip
        result = result if along is None else dataclasses.replace(result, map=along.map)
        if looks_for_map:
            result = with_map(named_key(seed, "map"), chosen, result, algorithm, report.fit_step)
        report.fit_done(result)
    if result.status is FitStatus.no_finite_start:
        raise ModelError(no_start_message(result, initial, chosen))
    if isinstance(chosen, HostTarget):  # called point by point: no lane idles
        result = dataclasses.replace(result, cost=Cost(result.cost.gradients))
    return dataclasses.replace(result, seed=seed, seconds=time.perf_counter() - started)


def fit_many(
    model: Any,
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
    model: Any,
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
    result = fit if fit is not None else _fit(chosen, seed=seed, maps=False)
    if isinstance(result, FitResult):
        check_belongs(result, chosen)
        chosen = in_coordinates_of(chosen, result)
        gaussian, verdict = gaussian_of(result), result.verdict
    else:
        gaussian, verdict = result, "given"
    key = named_key(seed, "spectrum")
    return diagnose(key, chosen, gaussian, verdict, at, num_draws, target_accept, dict(metrics or {}))


_fit = fit  # `spectrum` takes a parameter of the same name
