"""From draws to the DataTree: the user's quantities, sampler statistics, and where the work went."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np

from monochord import timing
from monochord._arviz import add_unconstrained, to_datatree
from monochord.fits import FitResult
from monochord.sampling import Draws, SamplerSettings
from monochord.targets import AbstractTarget, constrain_draws, output_name


def to_output(
    target: AbstractTarget, fit: FitResult, draws: Draws, seed: int, settings: SamplerSettings, metric_name: str
):
    """ArviZ DataTree of a run; see `attributes` for what `sample_stats.attrs` holds."""
    chains, count, dim = draws.x.shape
    flat = constrain_draws(target, draws.x.reshape(chains * count, dim))
    posterior = {output_name(name): value.reshape(chains, count, *value.shape[1:]) for name, value in flat.items()}
    segment = draws.segment
    sample_stats = {
        "lp": segment.log_density,
        "acceptance_rate": segment.acceptance,
        "n_steps": segment.num_steps.astype(np.int64),
        "diverging": segment.diverging.astype(bool),
        "energy": segment.energy,
    }
    tree = to_datatree(
        posterior, sample_stats, target.observed_data(), attributes(fit, draws, seed, settings, metric_name)
    )
    add_unconstrained(tree, draws.x, target.names)
    return tree


def attributes(fit: FitResult, draws: Draws, seed: int, settings: SamplerSettings, metric_name: str) -> dict:
    """Gradients and seconds by stage, choices, verdict and versions; numbers and strings, or nested values."""
    return {
        "gradients_fit": fit.cost.gradients,
        "gradients_warmup": draws.gradients_warmup,
        "gradients_sampling": draws.gradients_sampling,
        "idle_lanes": fit.cost.idle_lanes + draws.cost_starts.idle_lanes,
        "seconds_import": timing.import_seconds(),
        "seconds_compile": timing.compile_seconds(),
        "seconds_fit": fit.seconds,
        "seconds_warmup": draws.seconds_warmup,
        "seconds_sampling": draws.seconds_sampling,
        "kernel": settings.kernel,
        "metric": metric_name,
        "metric_refinements": draws.warmup.num_refinements,
        "step_size": draws.tuning.step_size,
        "trajectory_length": draws.tuning.trajectory_length,
        "verdict": fit.verdict,
        "reasons": list(fit.reasons),
        "status": draws.status,
        "fit_status": fit.status.name,
        "elbo": _triple(fit.elbo),
        "score_residual": _triple(fit.score_residual),
        "pareto_k": _triple(fit.pareto_k),
        "worst_coordinate": fit.worst_coordinate and [fit.worst_coordinate[0], *fit.worst_coordinate[1]],
        "seed": seed,
        "version": _version("monochord"),
        "versions": {
            name: _version(name) for name in ("monochord", "jax", "jaxlib", "blackjax", "equinox", "numpy", "scipy")
        },
    }


def _triple(estimate):
    return [None if not np.isfinite(v) else float(v) for v in estimate] if estimate is not None else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
