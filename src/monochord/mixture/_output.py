"""The result of a run over modes: attributes summed over them, the mode of every draw, and a row for each mode."""

import json
from typing import Any

import numpy as np

from monochord.advice import advice, left_out
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.fits import FitResult, Mode
from monochord.metrics import metric_arrays
from monochord.mixture._base import Asked, ModeRun
from monochord.modes import Weights
from monochord.output import attributes_of
from monochord.rejudge import RANKS, rejudged
from monochord.sampling import STOPPED
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget, HostTarget, idle_lanes

HOW = "bridge sampling"
BY_SHARES = "ELBO shares, as the run ended before bridge sampling"


def attributes(
    known: FitResult,
    spent: Cost,
    runs: list[ModeRun],
    asked: Asked,
    cost: Cost,
    words: str,
    seconds: tuple[float, float],
) -> dict[str, Any]:
    """Those of a run, its costs summed over modes, choices those of the heaviest, with `seconds` of fitting them and of weighing them; choices are those of the heaviest, reasons name their mode."""
    first = runs[0]
    found = attributes_of(first.target, first.fit, first.drawn, asked.seed, asked.metric_name, asked.note)
    judged = [rejudged(run.fit, run.drawn.evidence) for run in runs]
    worst = max(judged, key=lambda verdict: RANKS[verdict.name])
    said = [sentence for run in runs for sentence in advice(run.target, run.fit, run.drawn)]
    bridged = sum(run.bridge.num_proposals for run in runs if run.bridge is not None)
    statuses = [run.drawn.status for run in runs]
    ended = next((s for s in statuses if s == "interrupted" or s.startswith(STOPPED)), None)
    short = next((s for s in statuses if "before the target ESS" in s), statuses[0])
    return found | {
        "gradients_fit": known.cost.gradients + spent.gradients,
        "gradients_warmup": cost.gradients + sum(run.drawn.gradients_warmup for run in runs),
        "gradients_sampling": bridged + sum(run.drawn.gradients_sampling for run in runs),
        "gradients_weights": bridged,
        "idle_lanes": 0 if isinstance(first.target, HostTarget) else known.cost.idle_lanes + cost.idle_lanes + spent.idle_lanes + idle_lanes(bridged)
        + sum(run.drawn.idle_lanes for run in runs),
        "seconds_fit": known.seconds + seconds[0],
        "seconds_warmup": sum(run.drawn.seconds_warmup for run in runs),
        "seconds_sampling": seconds[1] + sum(run.drawn.seconds_sampling for run in runs),
        "metric_refinements": sum(run.drawn.warmup.num_refinements for run in runs if run.drawn.warmup is not None),
        "warmup_iterations": max(run.drawn.warmup.iterations for run in runs if run.drawn.warmup is not None),
        "verdict": worst.name,
        "modes": words,
        "reasons": [f"Mode {k + 1}: {reason}" for k, verdict in enumerate(judged) for reason in verdict.reasons],
        "fit_verdict": max((run.fit.verdict for run in runs), key=RANKS.__getitem__),
        "status": ended or short,
        "advice": list(dict.fromkeys(said)),
    }  # fmt: skip


def add_modes(
    tree, mode: np.ndarray, runs: list[ModeRun], found: Weights, left: list[Mode], how: str, target: AbstractTarget
) -> None:
    """`sample_stats.mode`, and the group `modes`: one row a mode of the fit, the heaviest first, those that were left out last.

    `center` is the mean of a mode's draws (of one left out, where its search ended), unconstrained; the metric of each is in variables
    `metric_{mode}_…` as in the group `sampler_state`, in the coordinates of its map where it has one.
    """
    import xarray

    stats = tree["sample_stats"].to_dataset()
    stats["mode"] = ("chain", "draw"), mode
    tree["sample_stats"] = xarray.DataTree(stats)
    columns = [_row(run, found, k) for k, run in enumerate(runs)] + [_row_left_out(m) for m in left]
    variables: dict[str, Any] = {name: (("mode",), np.array([row[name] for row in columns])) for name in columns[0]}
    centers = [run.target.to_unconstrained(run.drawn.x).mean((0, 1)) for run in runs]
    variables["center"] = (("mode", "coordinate"), np.stack([*centers, *(np.asarray(m.mean) for m in left)]))
    covariance = np.full((len(columns),) * 2, np.nan)
    covariance[: len(runs), : len(runs)] = found.covariance
    variables["weight_covariance"] = (("mode", "other_mode"), covariance)
    kinds = []
    for k, run in enumerate(runs):
        kind, arrays = metric_arrays(run.drawn.tuning.metric)
        kinds.append(kind)
        for name, array in arrays.items():
            variables[f"metric_{k}_{name}"] = (tuple(f"metric_{k}_{name}_{axis}" for axis in range(array.ndim)), array)
    is_mapped = target.unmapped is not target or any(run.fit.map is not None for run in runs)
    attributes = {"how": how, "metrics": json.dumps(kinds), "along_maps": int(is_mapped)}
    tree["modes"] = xarray.DataTree(
        xarray.Dataset(variables, coords={"coordinate": list(target.names)}, attrs=attributes)
    )


def _row(run: ModeRun, found: Weights, k: int) -> dict[str, Any]:
    bridge, drawn = run.bridge, run.drawn
    return {
        "weight": float(found.values[k]), "standard_error": float(found.standard_errors[k]),
        "log_integral": bridge.log_integral if bridge is not None else np.nan,
        "log_integral_error": bridge.standard_error if bridge is not None else np.nan,
        "elbo_share": run.mode.share, "is_kept": True, "gradients": run.gradients,
        "kernel": drawn.standpoint.kernel, "step_size": float(drawn.tuning.step_size), "verdict": run.fit.verdict,
        "map": run.fit.map.named(run.fit.names) if run.fit.map is not None else "none", "draws": drawn.num_draws,
    }  # fmt: skip


def _row_left_out(mode: Mode) -> dict[str, Any]:
    """Weight 0 for a mode without mass; unknown for one that the run did not come to."""
    weight = 0.0 if mode.share <= NEGLIGIBLE_MASS else np.nan
    return {
        "weight": weight, "standard_error": np.nan, "log_integral": np.nan, "log_integral_error": np.nan,
        "elbo_share": mode.share, "is_kept": False, "gradients": 0, "kernel": "none", "step_size": np.nan,
        "verdict": "not fitted", "map": "none", "draws": 0,
    }  # fmt: skip


def in_words(runs: list[ModeRun], found: Weights, left: list[Mode], how: str) -> str:
    """The weights as a sentence for `sample_stats.attrs["modes"]`."""
    said = ", ".join(
        str(Estimate(float(w), float(e), run.drawn.num_draws)) if how == HOW else f"{w:.3f}"
        for w, e, run in zip(found.values, found.standard_errors, runs, strict=True)
    )
    text = f"{len(runs)} modes with the weights {said}, estimated by {how}. Whatever is averaged over modes carries the error of these weights."
    return text + (f" {left_out(left)}" if left else "")
