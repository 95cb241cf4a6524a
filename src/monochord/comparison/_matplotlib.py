"""The figure of a comparison; the only file that imports matplotlib."""

from pathlib import Path

import numpy as np

from monochord.comparison._result import METRICS, Comparison
from monochord.errors import MissingPackage, OutputError

COLOURS = {"identity": "#8c8c8c", "diagonal": "#d98c21", "variational": "#2a6fbb"}


def check_matplotlib() -> None:
    """**Raises** `MissingPackage` with the pip line where matplotlib is absent; asked before the work."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingPackage("matplotlib", "a figure", "plot") from None


def write_figure(comparison: Comparison, path: Path) -> None:
    """Three panels: κ and κ_L, steps in units of the slowest period, and error against gradients spent."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    spread, steps, mixing = figure.subplots(1, 3)
    _bars(spread, comparison, ("kappa", "kappa_langmore"), ("κ", "κ_L"), "spread of the spectrum")
    _steps(steps, comparison)
    for metric in METRICS:
        gradients = [np.mean(comparison.values(metric, "gradients", n)) for n in comparison.draws]
        errors = [np.sqrt(np.mean(comparison.values(metric, "error", n) ** 2)) for n in comparison.draws]
        mixing.plot(gradients, errors, "o-", color=COLOURS[metric], label=metric)
        for seed_gradients, seed_errors in _each_seed(comparison, metric):
            mixing.plot(seed_gradients, seed_errors, "-", color=COLOURS[metric], alpha=0.25, linewidth=1)
    mixing.set(xscale="log", yscale="log", xlabel="gradients spent, fit and adaptation included", ylabel="error")
    mixing.set_title(f"first {', '.join(map(str, comparison.draws))} draws")
    mixing.legend(frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"the figure `{path}` cannot be written ({error}). Its name says what kind of image it is. Use .png, .pdf or .svg."
        ) from None


def _bars(axis, comparison: Comparison, fields, labels, title: str) -> None:
    width = 0.8 / len(METRICS)
    for place, metric in enumerate(METRICS):
        heights = [np.mean(comparison.values(metric, field)) for field in fields]
        heights = [height if np.isfinite(height) else 0.0 for height in heights]
        axis.bar(np.arange(len(fields)) + (place - 1) * width, heights, width, color=COLOURS[metric], label=metric)
    axis.set_xticks(range(len(fields)), labels)
    axis.set(yscale="log", title=title)
    axis.legend(frameon=False)


def _steps(axis, comparison: Comparison) -> None:
    """Steps times ω_min: how much of the slowest period one leapfrog covers."""
    fields, width = ("step_limit", "stable_step", "step_size"), 0.8 / len(METRICS)
    for place, metric in enumerate(METRICS):
        low = comparison.values(metric, "omega_min")
        heights = [np.mean(comparison.values(metric, field) * low) / (2 * np.pi) for field in fields]
        heights = [height if np.isfinite(height) else 0.0 for height in heights]
        axis.bar(np.arange(len(fields)) + (place - 1) * width, heights, width, color=COLOURS[metric])
    axis.set_xticks(range(len(fields)), ["2/ω_max", "stable, found", f"acceptance {comparison.target_accept:g}"])
    axis.set(yscale="log", title="step, in slowest periods")


def _each_seed(comparison: Comparison, metric: str):
    for seed in comparison.seeds:
        rows = [row for row in comparison.rows if row.metric == metric and row.seed == seed]
        yield [row.gradients for row in rows], [row.error for row in rows]
