"""`refit`: a fit of one data set, measured anew on another."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np

from monochord import fits, pipeline
from monochord.arguments import check_belongs, gaussian_of, note_precision, resolved_seed
from monochord.arrays import named_key
from monochord.beginnings import holds
from monochord.fits import FitResult
from monochord.mapping import in_coordinates_of
from monochord.spectra import NEGLIGIBLE_MASS, Verdict
from monochord.targets import AbstractTarget, check_signature


def refit(fit: FitResult, model: Callable | AbstractTarget, *, seed: int | None = None, **model_options) -> FitResult:
    """The Gaussian of `fit` with the evidence and the verdict that it deserves on another target of the same parameters.

    Nothing is fitted: fresh draws of the Gaussian are scored on the new target, as at the end of every fit, which costs
    about 150 gradients, `cost` of the result (those of `fit` are not in it). `gaussian`, `map`, `modes` and `choices`
    are the fit's own. The first of `reasons` says whether it still holds: where its verdict is no lower than it was and no
    evidence firmly worse. Where it does not, ``mc.fit(model, start=fit)`` begins a new fit with it.

    For the frequencies there, ``mc.spectrum(model, refit(fit, model))``.

    **Raises** `OptionError` for a target of other parameters, `ModelError` for a fit that ran away, and what `mc.target`
    raises.
    """
    started = time.perf_counter()
    target = pipeline.target(model, **model_options)
    check_belongs(fit, target)
    check_signature(target)
    note_precision()
    seed = resolved_seed(seed)
    measured = fits.run(named_key(seed, "refit"), in_coordinates_of(target, fit), fits.Given(gaussian_of(fit)))
    doubt = _of_modes(fit)
    if doubt and measured.verdict == "trust":
        measured = dataclasses.replace(measured, judgement=Verdict("start only", ()))
    reasons = (*_reasons(measured, fit), *doubt)
    return dataclasses.replace(
        measured, judgement=Verdict(measured.judgement.name, reasons), modes=fit.modes, choices=fit.choices, seed=seed,
        map=fit.map, seconds=time.perf_counter() - started,
    )  # fmt: skip


def _of_modes(fit: FitResult) -> tuple[str, ...]:
    """Draws of one mode say nothing of the others, so what was known of them still counts."""
    if sum(mode.share for mode in fit.modes[1:]) <= NEGLIGIBLE_MASS:
        return ()
    return (
        f"Where the fit was made, its starts had ended in {len(fit.modes)} separate modes: it describes one of them.",
    )


def _reasons(measured: FitResult, fit: FitResult) -> tuple[str, ...]:
    residuals = f"its score residual is {measured.score_residual} here and was {fit.score_residual} where it was made"
    if holds(measured, fit) and measured.verdict == "do not use":
        return f"Measured on this target, the fit is of no more use than it was: {residuals}.", *measured.reasons
    if holds(measured, fit):
        return f"Measured on this target, the fit holds: {residuals}.", *measured.reasons
    change = (
        f'"{fit.verdict}"' if fit.verdict == measured.verdict else f'"{measured.verdict}" instead of "{fit.verdict}"'
    )
    reasons = [
        f"Measured on this target, the fit does not hold: {residuals}, and the verdict is {change}. "
        "`mc.fit(target, start=fit)` begins a new fit with it."
    ]
    moved, left = _shift(measured)
    if measured.worst_coordinate is not None:
        name, share = measured.worst_coordinate
        reasons.append(f"It leaves {share} of the score of `{name}` unexplained; Pareto k̂ is {measured.pareto_k}.")
    if math.isfinite(moved):
        reasons.append(
            f"The centre that suits these scores is {moved:.2g} of its standard deviations away in a typical direction; with it "
            f"the residual would be {left:.2g}."
        )
    return tuple(reasons)


def _shift(measured: FitResult) -> tuple[float, float]:
    """Root mean square over directions of the shift that the mean score gap asks for, whitened; the residual without it."""
    points, gaussian = measured.draws, measured.gaussian
    if points is None or gaussian is None or measured.score_residual is None or not np.any(points.finite()):
        return math.nan, math.nan
    points = points.take(points.finite())
    gap = np.asarray(gaussian.metric.whiten_covector(points.score - np.asarray(gaussian.score(points.x))))
    moved = float(np.mean(gap.mean(0) ** 2))
    return math.sqrt(moved), max(0.0, measured.score_residual.value - moved)
