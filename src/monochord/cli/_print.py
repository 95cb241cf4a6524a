"""Tables and records for the terminal and for --json."""

import json
import math
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monochord._arviz import INTERVAL
from monochord.estimate import Estimate
from monochord.rewriting import rewrites, sentences
from monochord.spectra import Direction

MAX_ROWS = 60


def speaker(json: bool) -> Callable[[str], None]:
    """Prints a line on standard output, or on standard error where that belongs to JSON."""
    return lambda line: print(line, file=sys.stderr if json else sys.stdout, flush=True)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def findings(found, say, title: str = "model check") -> None:
    """The model check, a mark and a sentence each."""
    say(title)
    for line in str(found).splitlines():
        say(f"  {line}")


def fit(result) -> None:
    """A fit's verdict and evidence."""
    print(f"\nfit\n{result}")


def rewritten(target, result) -> None:
    """Lines that write without centring what the fit found trouble in."""
    for sentence in sentences(rewrites(target, result)):
        print(f"! {sentence}")


def spectrum(figures) -> None:
    """One column a metric, then the directions behind the ends and the notes."""
    print(f"\n{figures}")


def summary(tree, rows, doubts, gradients_check: int) -> None:
    """The summary table, gradients by stage, and what should not be trusted."""
    attrs = tree["sample_stats"].attrs
    table = Table(title="posterior", title_justify="left", box=None)
    table.add_column("name")
    percent = f"{INTERVAL:.0%}"
    for head in ("mean", "sd", f"{percent} low", f"{percent} high", "bulk ESS", "tail ESS", "R̂"):
        table.add_column(head, justify="right")
    for row in rows[:MAX_ROWS]:
        numbers = [f"{value:#.4g}".rstrip(".") for value in (row.mean, row.sd, row.low, row.high)]
        table.add_row(Text(row.name), *numbers, f"{row.ess_bulk:.0f}", f"{row.ess_tail:.0f}", f"{row.r_hat:.3f}")
    console = _console()
    console.print()
    console.print(table)
    if len(rows) > MAX_ROWS:
        print(f"… and {len(rows) - MAX_ROWS} more rows (all are in the output file and in --json)")
    print(
        f"\n{attrs['status']}: {tree['posterior'].sizes['chain']} chains of {tree['posterior'].sizes['draw']} draws\n"
        f"verdict on the fit: {attrs['verdict']}; metric {attrs['metric']}, step size {attrs['step_size']:.3g}, "
        f"acceptance {float(tree['sample_stats']['acceptance_rate'].mean()):.2f}\n"
        f"kernel {attrs['kernel']}: {attrs['kernel_reason']}"
    )
    if attrs.get("modes", "none") != "none":
        print(f"modes: {attrs['modes']}")
    if attrs["fit_note"]:
        print(attrs["fit_note"])
    stages = {"check": gradients_check}
    stages |= {name: int(attrs[f"gradients_{name}"]) for name in ("fit", "warmup", "sampling")}
    print(
        "gradients: "
        + ", ".join(f"{name} {count:,}" for name, count in stages.items())
        + f", in all {sum(stages.values()):,}"
    )
    seconds = {name: float(attrs[f"seconds_{name}"]) for name in ("import", "compile", "fit", "warmup", "sampling")}
    print(
        "seconds:   "
        + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        + " (compiling is part of the others)"
    )
    for sentence in [*doubts, *json.loads(attrs.get("rewrites", "[]"))]:
        print(f"! {sentence}")


def prediction(tree, rows, figures) -> None:
    """What the same effective draws would have cost without preconditioning, said to be a prediction."""
    attrs = tree["sample_stats"].attrs
    ess = min(min(row.ess_bulk, row.ess_tail) for row in rows)
    identity, diagonal = (figures[name].gradients_per_effective_draw.value for name in ("identity", "diagonal"))
    print(
        f"\nfor {ess:.0f} effective draws of the slowest quantity this run spent {int(attrs['gradients_sampling']):,} gradients of sampling"
    )
    print(
        f"PREDICTED, not run: {ess * identity:,.0f} gradients with no preconditioning, {ess * diagonal:,.0f} with the best "
        "diagonal (jittered HMC of the best length, Gaussian theory; NUTS needs more where few directions are slow)"
    )


def fit_record(result) -> dict:
    """A fit for --json."""
    return {
        "verdict": result.verdict,
        "reasons": list(result.reasons),
        "status": result.status.name,
        "gradients_fit": result.cost.gradients,
        "elbo": _triple(result.elbo),
        "score_residual": _triple(result.score_residual),
        "pareto_k": _triple(result.pareto_k),
        "indefinite_share": _triple(result.indefinite_share),
        "radial_spread": _triple(result.radial_spread),
        "modes": [{"elbo": _triple(mode.elbo), "share": mode.share} for mode in result.modes],
        "structures": {choice.name: choice.score for choice in result.choices},
        "seed": result.seed,
        "names": list(result.names),
        "map": result.map.named(result.names)
        if result.map is not None
        else None,  # `mean` and `sd` are in its coordinates
        "mean": [float(v) for v in result.gaussian.mean] if result.gaussian else None,
        "sd": [float(v) ** 0.5 for v in result.gaussian.metric.diagonal()] if result.gaussian else None,
    }


def spectrum_record(figures) -> dict:
    """A spectrum for --json."""
    return {
        "spectrum": [{name: _spectrum_field(value) for name, value in vars(row).items()} for row in figures.table],
        "target_accept": figures.target_accept,
        "gradients_spectrum": figures.gradients,
        "where": figures.where,
        "is_reliable": figures.is_reliable,
        "notes": list(figures.notes),
    }


def comparison_record(comparison) -> dict:
    """A comparison for --json."""
    reference = comparison.reference
    return {
        "rows": [{name: _number(value) for name, value in vars(row).items()} for row in comparison.rows],
        "outcomes": [
            {"claim": o.claim, "against": o.against, "ratio": _triple(o.ratio), "outcome": o.outcome}
            for o in comparison.outcomes
        ],
        "target_accept": comparison.target_accept,
        "chains": comparison.chains,
        "status": comparison.status,
        "gradients_probes": comparison.gradients_probes,
        "gradients_reference": reference.gradients if reference is not None else None,
        "reference": reference.sentence() if reference is not None else None,
        "reference_is_reliable": reference.is_reliable if reference is not None else None,
    }


def _spectrum_field(value):
    if isinstance(value, Estimate):
        return _triple(value)
    if isinstance(value, Direction):
        return {"text": str(value), "names": list(value.names), "coefficients": list(value.coefficients)}
    if hasattr(value, "tolist"):
        return [_number(entry) for entry in value.tolist()]
    return value


def sample_record(tree, rows, doubts, written) -> dict:
    """A run for --json."""
    return {
        "summary": [{key: _number(value) for key, value in row._asdict().items()} for row in rows],
        "doubts": doubts,
        "output": written,
        **{key: _number(value) for key, value in tree["sample_stats"].attrs.items()},
    }


def _number(value):
    if isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _triple(estimate):
    if estimate is None:
        return None
    return {
        "value": _number(estimate.value),
        "standard_error": _number(estimate.standard_error),
        "num_draws": estimate.num_draws,
    }
