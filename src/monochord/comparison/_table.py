"""A comparison as text: a column a metric, then the claims in words."""

import io
import math

import numpy as np
from rich.console import Console
from rich.table import Table

from monochord.comparison._result import METRICS, Comparison
from monochord.estimate import Estimate

WIDTH = 140


def comparison_table(comparison: Comparison) -> Table:
    """The figures, averaged over seeds, as a `rich` table."""
    table = Table(title=_title(comparison), title_justify="left", box=None)
    table.add_column("")
    for metric in METRICS:
        table.add_column(metric, justify="right")
    accept = f"{comparison.target_accept:g}"
    for label, field in (
        ("κ of M⁻¹H, averaged over posterior points", "kappa"),
        ("κ_L", "kappa_langmore"),
        ("2/ω_max", "step_limit"),
        ("largest stable step found", "stable_step"),
        ("  from half of the starts", "stable_step_median"),
        (f"step size at acceptance {accept} found", "step_size"),
        ("leapfrogs a slowest period", "leapfrogs_per_period"),
    ):
        table.add_row(label, *(_cell(comparison.values(metric, field)) for metric in METRICS))
    for draws in comparison.draws:
        for label, field in ((f"error of the first {draws} draws", "error"), ("  gradients spent", "gradients"), ("  gradients · error²", "cost"), ("  the same of their second half", "cost_second_half")):  # fmt: skip
            table.add_row(label, *(_cell(comparison.values(metric, field, draws)) for metric in METRICS))
    for what in ("step", "metric"):
        for label, field in ((f"{what} settled at draw", "draw"), ("  after gradients", "gradients")):
            values = (comparison.values(metric, f"{what}_settled_{field}") for metric in METRICS)
            table.add_row(label, *(_cell(value, "never") for value in values))
    return table


def _title(comparison: Comparison) -> str:
    seeds = len(comparison.seeds)
    return f"three starts, {seeds} seed{'' if seeds == 1 else 's'}, {comparison.chains} chains of NUTS"


def _cell(values: np.ndarray, missing: str = "–") -> str:
    """Mean over seeds with its standard error; `missing` where it is not known in any of them."""
    if len(values) == 0 or np.all(np.isnan(values)):
        return missing
    if np.any(np.isnan(values)):
        return f"{missing} in {int(np.isnan(values).sum())} of {len(values)}"
    if not np.all(np.isfinite(values)):
        return "∞"
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    mean = float(values.mean())
    if not error > 1e-3 * abs(mean):
        return f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.3g}"
    return f"{mean:,.0f} ± {error:,.0f}" if abs(mean) >= 1000 else str(Estimate(mean, error, len(values)))


def notes(comparison: Comparison) -> list[str]:
    """What the figures mean, what helped, what did not."""
    lines = []
    if comparison.reference is not None:
        lines.append(comparison.reference.sentence())
    if comparison.rows:
        verdicts = sorted({row.verdict for row in comparison.rows if row.metric == "variational"})
        lines += [
            "Errors: root mean square over coordinates, of means and of (x − mean)² in their own sds, draws counted from the first "
            "iteration on; gradients of fit, starts, step searches and adaptation charged.",
            f"Diagonal: posterior variances for the spectrum and the steps, Stan's windows for the draws. Verdict on the fits: {', '.join(verdicts)}. "
            f"Spectra and steps took {comparison.gradients_probes:,} gradients, charged to no metric.",
        ]
    lines += comparison.notes
    helped = [outcome for outcome in comparison.outcomes if outcome.outcome == "helped"]
    for head, chosen in (("The variational start helped:", helped), ("The variational start did NOT help:", comparison.not_helped)):  # fmt: skip
        if chosen:
            lines += ["", head, *(f"  {outcome}" for outcome in chosen)]
    if len(comparison.seeds) == 1:
        lines += ["", "One seed: how much of this is chance cannot be told. Take three seeds or more."]
    if comparison.rows and not comparison.not_helped:
        lines += ["", "The variational start helped in everything that was compared."]
    if comparison.status != "complete":
        lines += ["", interrupted(comparison)]
    return lines


def interrupted(comparison: Comparison) -> str:
    """What is left of a comparison that Ctrl-C ended."""
    done = len(comparison.seeds)
    if not done:
        return "Interrupted before any seed was finished."
    return f"Interrupted: the {done} seed{' that is' if done == 1 else 's that are'} finished {'is' if done == 1 else 'are'} kept."


def comparison_text(comparison: Comparison) -> str:
    """Everything, for `print`."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, force_terminal=False)
    if comparison.rows:
        console.print(comparison_table(comparison))
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join([text, "", *notes(comparison)]).strip("\n")
