"""Where a metric is judged, and the spectrum there: at a point, over draws of the fit, or over posterior draws."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.arrays import Key, fold_key, host_generator
from monochord.errors import ModelError, OptionError
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, DiagonalMetric, identity_metric
from monochord.sampling import moved_points
from monochord.spectra import (
    DENSE_LIMIT,
    MetricSpectrum,
    Spectrum,
    best_diagonal,
    cost_functional,
    indefinite_share,
    lanczos_modes,
    row_from_hessians,
    row_from_modes,
    share_of_indefinite,
)
from monochord.targets import AbstractTarget, Evaluations, evaluate, hessian_products, hessians

NUM_PROBES = 64
MIN_PROBES = 16  # a variance of scores from fewer says nothing
LANCZOS_DRAWS = 4  # each product then costs 8 gradients; the spread between draws gives the errors
MANY_INDEFINITE = 0.1  # share of points above which averages of curvature hide what the sampler meets
INDEFINITE_NOTE = (
    "The curvature turns over at some of the points, as on the flanks of a funnel: averages hide it, no figure here sees "
    "a neck, and the gradients needed may be several times those predicted."
)
FUNNEL_NOTE = (
    'The verdict on the fit is "do not use": predictions are unreliable here. On funnels C(M) flags the worst metric, '
    "but its fine order is wrong, and no constant metric mixes the neck."
)


class Where(NamedTuple):
    """Points at which Hessians are taken, a phrase for them, and the points for C(M) (None: not to be had)."""

    points: Float[np.ndarray, "points dim"]
    phrase: str
    probes: Evaluations | None
    gradients: int


def diagnose(
    key: Key,
    target: AbstractTarget,
    gaussian: Gaussian,
    verdict: str,
    at,
    num_draws: int,
    target_accept: float,
    metrics: Mapping[str, AbstractMetric],
) -> Spectrum:
    """Spectrum of identity, best diagonal, fitted metric and `metrics`; see `monochord.spectrum`."""
    where = _where(key, target, gaussian, at, num_draws)
    judged: dict[str, AbstractMetric] = {"identity": identity_metric(target.dim)}
    if not isinstance(gaussian.metric, DiagonalMetric):  # else it is the fitted one
        judged["diagonal"] = best_diagonal(gaussian.metric)
    judged |= {"fitted": gaussian.metric, **metrics}
    _check_metrics(judged, target.dim)
    criteria = {
        name: cost_functional(metric, where.probes) if where.probes is not None else None
        for name, metric in judged.items()
    }
    make = _dense_rows if target.dim <= DENSE_LIMIT else _lanczos_rows
    rows, gradients = make(key, target, judged, where.points, target_accept, criteria)
    notes = (FUNNEL_NOTE,) if verdict == "do not use" else ()
    if verdict != "do not use" and rows["fitted"].indefinite_share.value > MANY_INDEFINITE:
        notes += (INDEFINITE_NOTE,)
    if where.probes is None:
        notes += (f'C(M) needs {MIN_PROBES} points that have left the fit: take at="fit", or draws of the posterior.',)
    if any(row.is_lower_bound for row in rows.values()):
        notes += (
            "≥: Lanczos has not reached the slowest direction, so κ is at least that and the costs may be higher.",
        )
    return Spectrum(rows, target_accept, gradients + where.gradients, where.phrase, verdict != "do not use", notes)


def _where(key, target, gaussian: Gaussian, at, num_draws: int) -> Where:
    rng = host_generator(fold_key(key, 0))
    if isinstance(at, str):
        if at == "mean":
            return Where(np.asarray(gaussian.mean, np.float64)[None], "at the fit's mean", None, 0)
        if at != "fit":
            raise OptionError(f'`at={at!r}` is not known. Pass "fit", "mean", points, or a result of `sample`.')
        count = num_draws if target.dim <= DENSE_LIMIT else min(num_draws, LANCZOS_DRAWS)
        probes, cost = moved_points(fold_key(key, 1), target, gaussian, gaussian.metric, _num_probes(target.dim))
        return Where(gaussian.sample(rng, count), f"averaged over {count} draws of the fit", probes, cost.gradients)
    points, phrase = _given(at, target)
    spread = points[np.unique(np.linspace(0, len(points) - 1, max(num_draws, _num_probes(target.dim))).astype(int))]
    probes = evaluate(target, spread) if len(spread) >= MIN_PROBES else None
    chosen = spread[np.unique(np.linspace(0, len(spread) - 1, num_draws).astype(int))]
    return Where(chosen, phrase.format(len(chosen)), probes, 0 if probes is None else len(spread))


def _num_probes(dim: int) -> int:
    """Fewer in very many dimensions, where each tells as much as many and costs as much memory."""
    return min(NUM_PROBES, max(MIN_PROBES, 200_000 // dim))


def _given(at, target: AbstractTarget) -> tuple[np.ndarray, str]:
    """Points out of a run's result or an array, and a phrase for them."""
    if hasattr(at, "children"):
        if "unconstrained_posterior" not in at.children:
            raise OptionError(
                "this result holds no group `unconstrained_posterior`. Hessians are taken on unconstrained space. "
                "Pass a result of `monochord.sample`, or unconstrained points."
            )
        x = target.from_unconstrained(np.asarray(at["unconstrained_posterior"]["x"].values, np.float64))
        points, phrase = x.reshape(-1, x.shape[-1]), "averaged over {} posterior draws"
    else:
        points = np.atleast_2d(np.asarray(at, np.float64))
        points = target.from_unconstrained(points) if points.shape[-1] == target.dim else points
        phrase = "at the given point" if len(points) == 1 else "averaged over {} given points"
    if points.ndim != 2 or points.shape[1] != target.dim or not np.all(np.isfinite(points)):
        raise OptionError(
            f"`at` has shape {points.shape}, or holds numbers that are not finite; the target has {target.dim} unconstrained "
            f"coordinates. Pass shape ({target.dim},) or (n, {target.dim})."
        )
    return points, phrase


def _check_metrics(metrics: Mapping[str, AbstractMetric], dim: int) -> None:
    for name, metric in metrics.items():
        if not isinstance(metric, AbstractMetric) or metric.dim != dim:
            raise OptionError(
                f"`metrics[{name!r}]` is no metric of {dim} coordinates. A bare array could mean Σ or its inverse. "
                "Build one with `DenseMetric.from_covariance`, `DiagonalMetric` or `LowRankMetric`."
            )


def _dense_rows(key, target, metrics, points, target_accept, criteria) -> tuple[dict[str, MetricSpectrum], int]:
    curvatures = hessians(target, points)
    keep = np.all(np.isfinite(curvatures), axis=(1, 2))
    if not keep.any():
        raise _no_hessian()
    curvatures = curvatures[keep]
    share = indefinite_share(np.array([np.linalg.eigvalsh(hessian)[0] for hessian in curvatures]))
    rows = {
        name: row_from_hessians(name, metric, curvatures, target.names, target_accept, share, criteria[name])
        for name, metric in metrics.items()
    }
    return rows, 2 * len(points) * target.dim


def _lanczos_rows(key, target, metrics, points, target_accept, criteria) -> tuple[dict[str, MetricSpectrum], int]:
    rng = host_generator(fold_key(key, 2))
    share, gradients = share_of_indefinite(target, metrics["fitted"], points, rng)
    rows = {}
    for name, metric in metrics.items():
        modes, spent = lanczos_modes(target, metric, points, rng)
        if not np.all(np.isfinite(modes.squared)):
            raise _no_hessian()
        ends = (_rayleigh(target, metric, points, modes.low), _rayleigh(target, metric, points, modes.high))
        gradients += spent + 4 * len(points)
        rows[name] = row_from_modes(name, metric, modes, ends, target.names, target_accept, share, criteria[name])
    return rows, gradients


def _rayleigh(target, metric: AbstractMetric, points, vector) -> np.ndarray:
    """vᵀLᵀH(xᵢ)Lv at each point."""
    direction = np.asarray(metric.unwhiten(vector))
    products = hessian_products(target, points, np.broadcast_to(direction, points.shape))
    return products @ direction


def _no_hessian() -> ModelError:
    return ModelError(
        "the Hessian is finite at none of the points. Second derivatives are needed here. Check `mc.check(target)`."
    )
