"""`compare`: the public verb. It joins fits, spectra, steps and early draws of three starts, seed by seed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from monochord import pipeline, runs, sampling
from monochord.arguments import check_belongs, gaussian_of, note_precision, resolved_seed
from monochord.arrays import Key, fold_key, host_generator, named_key
from monochord.comparison._early import EarlyRun, early_run
from monochord.comparison._reference import Reference, reference_from_draws, reference_from_tree
from monochord.comparison._result import METRICS, Comparison, Row
from monochord.comparison._spread import Spread, spreads
from monochord.comparison._stable_step import largest_stable_steps, step_for_acceptance
from monochord.errors import ModelError
from monochord.fits import FitResult, FitStatus
from monochord.metrics import AbstractMetric, DiagonalMetric, identity_metric
from monochord.progress import Reporter, reporter
from monochord.settings import check_count, check_fraction, check_positive
from monochord.targets import AbstractTarget, check_signature

DRAWS = (50, 100, 200)
STARTS_STABLE = 8  # points whose largest stable step is sought
STARTS_ACCEPT = 64  # points over which an acceptance is averaged
POINTS_HESSIAN = 32
REFERENCE_ESS = 4000.0  # the long run's own error is then below 2 % of an sd
REFERENCE_GRADIENTS = 2e6
MAX_TREE_DEPTH = 10  # Stan's default


def compare(
    model: Callable | AbstractTarget,
    *,
    seeds: int = 3,
    seed: int | None = None,
    chains: int = 4,
    target_accept: float = 0.8,
    reference: Any = None,
    max_reference_gradients: float | int = REFERENCE_GRADIENTS,
    progress: bool | Callable | Reporter | None = None,
    **model_options,
) -> Comparison:
    """The founding claims on your own model: identity, diagonal and variational start side by side.

    For each of `seeds` seeds (`seed`, `seed` + 1, …):

    - the spread of the spectrum: κ and κ_L of M⁻¹H, H averaged over posterior points;
    - the largest stable step, found by running the integrator, beside 2/ω_max, and the step size at `target_accept`;
    - early mixing: errors of the first 50, 100 and 200 draws of NUTS against long-run moments, with every gradient of the
      fit, the starts and the adaptation charged, and when step size and metric settle.

    "diagonal" means posterior variances in the first two (what Stan's adaptation tends to) and Stan's windows, from uniform
    starts within ±2, in the third. "variational" is the metric of `mc.fit` whatever its verdict, with draws of the fit as
    starts and the closed-form step size as the first; "identity" is the unit metric on unconstrained space.

    The long-run moments come from a run of our own sampler whose R̂ and ESS are checked, within `max_reference_gradients`,
    or from `reference`: a result of `mc.sample`, or independent draws of shape (n, dim), unconstrained.

    Ctrl-C keeps the seeds that are finished, with status "interrupted"; a later seed whose fit fails is left out, with a note.

    **Raises** `OptionError` for an option out of range and `ModelError` for a model that cannot be sampled or fitted.
    """
    check_count("seeds", seeds, 1, 1000)
    check_count("chains", chains, 1, 1000)
    check_fraction("target_accept", target_accept)
    check_positive("max_reference_gradients", max_reference_gradients)
    target = pipeline.target(model, **model_options)
    check_signature(target)
    note_precision()
    report = reporter(progress)
    seed = resolved_seed(seed, report)
    settings = _Settings(chains, target_accept, report)
    rows: list[Row] = []
    notes: list[str] = []
    moments, probes, status = None, 0, "complete"
    with report:
        try:
            fit = _fitted(target, seed, report)
            moments = _reference(target, fit, reference, seed, max_reference_gradients, report)
            for number in range(seed, seed + seeds):
                try:
                    fit = fit if number == seed else _fitted(target, number, report)
                    found, spent = _one_seed(target, fit, moments, number, settings)
                except ModelError as error:
                    if not rows:
                        raise
                    notes.append(f"Seed {number} is left out: {error}")
                    continue
                rows += found
                probes += spent
        except KeyboardInterrupt:
            status = "interrupted"
    return Comparison(tuple(rows), moments, target_accept, chains, probes, status, tuple(notes))


class _Settings(NamedTuple):
    chains: int
    target_accept: float
    report: Reporter


class _Steps(NamedTuple):
    """What the integrator allows under one metric."""

    stable: np.ndarray
    at_acceptance: float


def _fitted(target: AbstractTarget, seed: int, report: Reporter) -> FitResult:
    fit = pipeline.fit(target, seed=seed, maps=False, progress=report)
    if fit.status is FitStatus.interrupted:
        raise KeyboardInterrupt
    gaussian_of(fit)
    return fit


def _reference(target, fit: FitResult, given, seed: int, max_gradients, report: Reporter) -> Reference:
    if given is not None and not hasattr(given, "children"):
        return reference_from_draws(given, target)
    if given is not None:
        return reference_from_tree(given, target, 0, "a run that was handed over")
    report.note("long run for the moments")
    tree = runs.sample(
        target, fit=fit, seed=seed, target_ess=REFERENCE_ESS, max_gradients=max_gradients, progress=report
    )
    attributes = tree["sample_stats"].attrs
    if attributes["status"] == "interrupted":
        raise KeyboardInterrupt
    spent = int(attributes["gradients_warmup"]) + int(attributes["gradients_sampling"])
    return reference_from_tree(tree, target, spent, "a long run of our own sampler")


def _one_seed(
    target: AbstractTarget, fit: FitResult, reference: Reference, seed: int, settings: _Settings
) -> tuple[list[Row], int]:
    """The rows of one seed, and the gradients of spectra and step searches."""
    check_belongs(fit, target)
    key = named_key(seed, "compare")
    gaussian = gaussian_of(fit)
    metrics: dict[str, AbstractMetric] = {
        "identity": identity_metric(target.dim),
        "diagonal": DiagonalMetric(reference.sd),
        "variational": gaussian.metric,
    }
    found, probes = spreads(target, metrics, reference.spread_out(POINTS_HESSIAN), host_generator(fold_key(key, 2)))
    rows: list[Row] = []
    for name in METRICS:
        steps, spent = _steps(fold_key(key, 0), target, metrics[name], reference, found[name], settings.target_accept)
        probes += spent
        run = _early(fold_key(key, 1), name, target, fit, reference, settings)
        rows += [_row(name, seed, draws, found[name], steps, run, reference, fit) for draws in DRAWS]
        settings.report.note(
            f"seed {seed}, {name}: error {rows[-1].error:.3g} of the first {DRAWS[-1]} draws, {rows[-1].gradients:,} gradients"
        )
    return rows, probes


def _steps(
    key: Key, target, metric: AbstractMetric, reference: Reference, found: Spread, target_accept: float
) -> tuple[_Steps, int]:
    """Starts are posterior points and fresh momenta, the same for all metrics of a seed."""
    rng = host_generator(key)
    places = rng.choice(len(reference.draws), size=STARTS_ACCEPT, replace=len(reference.draws) < STARTS_ACCEPT)
    points, noise = reference.draws[places], rng.standard_normal((STARTS_ACCEPT, target.dim))
    limit = found.step_limit
    first = limit / 3.0 if np.isfinite(limit) else 0.1
    stable, spent = largest_stable_steps(target, metric, points[:STARTS_STABLE], noise[:STARTS_STABLE], first)
    at_acceptance, more = step_for_acceptance(target, metric, points, noise, target_accept, first)
    return _Steps(stable, at_acceptance), spent + more


def _early(key: Key, name: str, target, fit: FitResult, reference: Reference, settings: _Settings) -> EarlyRun:
    """The first draws of one start: NUTS in all three, so that nothing but start, metric and adaptation differs."""
    rng = host_generator(fold_key(key, 0))
    options: dict[str, Any] = {}
    if name == "variational":
        gaussian = gaussian_of(fit)
        start, cost = sampling.chain_starts(target, gaussian, rng, settings.chains)
        residual = fit.score_residual.value if fit.score_residual is not None else 0.0
        tuning = sampling.closed_form_tuning(gaussian.metric, gaussian, "nuts", settings.target_accept, residual)
        metric, options = gaussian.metric, {"step_size": tuning.step_size}
        before = fit.cost.gradients + cost.gradients
    else:
        start, cost = sampling.box_starts(target, rng, settings.chains)
        metric, before = identity_metric(target.dim), cost.gradients
    return early_run(
        fold_key(key, 1), target, start, metric, reference, DRAWS[-1], settings.target_accept, gradients_before=before,
        learns=name == "diagonal", max_tree_depth=MAX_TREE_DEPTH, report=settings.report.sampling, stage=name, **options,
    )  # fmt: skip


def _row(
    name: str, seed: int, draws: int, found: Spread, steps: _Steps, run: EarlyRun, reference: Reference, fit: FitResult
) -> Row:
    mean, square = run.errors(0, draws, reference)
    late = 0.5 * sum(error**2 for error in run.errors(draws // 2, draws, reference))
    gradients, low = int(run.gradients[draws - 1]), found.omega_min
    squared_error = 0.5 * (mean**2 + square**2)
    step_draw, metric_draw = run.step_settled(), run.metric_settled()
    return Row(
        metric=name, seed=seed, draws=draws, kappa=found.kappa, kappa_langmore=found.kappa_langmore,
        omega_min=low, omega_max=found.omega_max, step_limit=found.step_limit,
        stable_step=float(steps.stable.min()), stable_step_median=float(np.median(steps.stable)),
        step_size=steps.at_acceptance,
        leapfrogs_per_period=2.0 * np.pi / (low * steps.at_acceptance) if low > 0 else float("nan"),
        gradients=gradients, gradients_before=run.gradients_before, gradients_tuning=run.gradients_tuning,
        error_mean=mean, error_square=square, error=squared_error**0.5, cost=gradients * squared_error,
        error_second_half=late**0.5, cost_second_half=gradients * late,
        step_size_reached=float(run.step_sizes[-1]), acceptance=run.acceptance, divergences=run.divergences,
        step_settled_draw=step_draw, step_settled_gradients=run.gradients_at(step_draw),
        metric_settled_draw=metric_draw, metric_settled_gradients=run.gradients_at(metric_draw),
        verdict=fit.verdict if name == "variational" else "",
    )  # fmt: skip
