"""From draws to the DataTree: the user's quantities, sampler statistics, and where the work went."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from monochord import timing
from monochord._arviz import add_unconstrained, to_datatree
from monochord.advice import advice, modes_in_words
from monochord.continuation import STATISTICS, add_map, add_standpoint, remember
from monochord.fits import FitResult
from monochord.maps import MappedTarget
from monochord.rejudge import rejudged
from monochord.rewriting import rewrites, sentences
from monochord.sampling import Draws, Segment, Standpoint
from monochord.targets import AbstractTarget, constrain_draws, output_name

TYPES = {"num_steps": np.int64, "diverging": bool}


def to_output(target: AbstractTarget, segment: Segment, standpoint: Standpoint | None, attributes: dict[str, Any]):
    """ArviZ DataTree of a run; see `attributes_of` for what `sample_stats.attrs` holds. Without `standpoint` it cannot go on."""
    chains, count, dim = segment.x.shape
    flat = constrain_draws(target, segment.x.reshape(chains * count, dim))
    posterior = {output_name(name): value.reshape(chains, count, *value.shape[1:]) for name, value in flat.items()}
    sample_stats = {
        theirs: getattr(segment, ours).astype(TYPES.get(ours, getattr(segment, ours).dtype))
        for ours, theirs in STATISTICS.items()
    }
    data = {"observed_data": target.observed_data(), "constant_data": target.constant_data()}
    labels = target.output_labels()
    dims = {output_name(name): axes for name, axes in labels.dims.items()}
    tree = to_datatree(posterior, sample_stats, data, attributes, labels.coords, dims)
    add_unconstrained(tree, target.to_unconstrained(segment.x), target.names)
    if standpoint is not None:
        add_standpoint(tree, standpoint)
        add_map(tree, target.map if isinstance(target, MappedTarget) else None)
    remember(tree, target)
    return tree


def attributes_of(
    target: AbstractTarget, fit: FitResult | None, draws: Draws, seed: int, metric_name: str, note: str
) -> dict[str, Any]:
    """Gradients and seconds by stage, choices, verdict and versions; numbers and strings, or nested values.

    `verdict` is the fit's as the run's own draws leave it, `fit_verdict` what the fit said of itself.
    """
    assert draws.warmup is not None
    pilot = draws.warmup.pilot
    judgement = rejudged(fit, draws.evidence) if fit is not None else None
    evidence = draws.evidence
    return {
        "gradients_fit": fit.cost.gradients if fit is not None else 0,
        "gradients_warmup": draws.gradients_warmup,
        "gradients_sampling": draws.gradients_sampling,
        "idle_lanes": 0 if target.host is not None else _idle_lanes(fit, draws),
        "seconds_import": timing.import_seconds(),
        "seconds_compile": timing.compile_seconds(),
        "seconds_fit": fit.seconds if fit is not None else 0.0,
        "seconds_warmup": draws.seconds_warmup,
        "seconds_sampling": draws.seconds_sampling,
        "kernel": draws.standpoint.kernel,
        "kernel_reason": pilot.reason,
        "kernel_pilot": {"nuts": _number(pilot.nuts), "hmc": _number(pilot.hmc)},
        "metric": metric_name,
        "metric_refinements": draws.warmup.num_refinements,
        "warmup_iterations": draws.warmup.iterations,
        "warmup_restarts": draws.warmup.num_restarts,
        "step_size": draws.tuning.step_size,
        "trajectory_length": draws.tuning.trajectory_length,
        "trajectory_jitter": draws.tuning.jitter,
        "verdict": judgement.name if judgement is not None else "no fit",
        "reasons": list(judgement.reasons) if judgement is not None else ["No fit was asked for."],
        "status": draws.status,
        "advice": advice(target, fit, draws),
        "rewrites": sentences(
            rewrites(target, fit, evidence and (target.names[evidence.coordinate], evidence.share.value))
        ),
        "fit_note": note,
        "fit_status": fit.status.name if fit is not None else "none",
        "fit_verdict": fit.verdict if fit is not None else "no fit",
        "map": fit.map.named(target.names) if fit is not None and fit.map is not None else "none",
        "modes": modes_in_words(fit),
        "elbo": _triple(fit and fit.elbo),
        "score_residual": _triple(fit and fit.score_residual),
        "pareto_k": _triple(fit and fit.pareto_k),
        "worst_coordinate": fit and fit.worst_coordinate and [fit.worst_coordinate[0], *fit.worst_coordinate[1]],
        "posterior_residual": _triple(evidence and evidence.residual),
        "posterior_worst_coordinate": evidence and [target.names[evidence.coordinate], *evidence.share],
        "seed": seed,
        "version": _version("monochord"),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of the packages that draws depend on."""
    return {name: _version(name) for name in ("monochord", "jax", "jaxlib", "blackjax", "equinox", "numpy", "scipy")}


def _idle_lanes(fit: FitResult | None, draws: Draws) -> int:
    return (fit.cost.idle_lanes if fit is not None else 0) + draws.idle_lanes


def _triple(estimate):
    return [_number(value) for value in estimate] if estimate is not None else None


def _number(value) -> float | None:
    return float(value) if np.isfinite(value) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
