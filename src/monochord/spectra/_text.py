"""A spectrum as text: one row a metric, then what is behind its two ends, then what it cannot see."""

import math

from monochord.estimate import Estimate

COLUMNS = (
    ("metric", None), ("κ", "kappa"), ("κ_L", "kappa_langmore"), ("ω min", "omega_min"), ("ω max", "omega_max"),
    ("period", "period"), ("step limit", "step_limit"), ("step size", "step_size"),
    ("HMC", "gradients_per_effective_draw"), ("HMC x²", "gradients_per_effective_square"),
    ("NUTS", "gradients_per_effective_draw_nuts"), ("C(M)", "criterion"),
)  # fmt: skip


def brief(estimate: Estimate | None) -> str:
    """A table cell: three digits, the error with one."""
    if estimate is None or math.isnan(estimate.value):
        return "–"
    error = estimate.standard_error
    if not math.isfinite(error) or error < 1e-3 * abs(estimate.value):
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ± {error:.1g}"


def cells(spectrum) -> list[list[str]]:
    """The table as text, a list for each row; "≥" where Lanczos gives a bound."""
    rows = []
    for row in spectrum.table:
        line = [row.metric]
        for _, name in COLUMNS[1:]:
            text = brief(getattr(row, name))
            if row.is_lower_bound and name in ("kappa", "kappa_langmore", "period"):
                text = f"≥ {text}"
            line.append(text)
        rows.append(line)
    return rows


def ends(spectrum) -> list[str]:
    """Lines that name the slowest and fastest direction of each metric."""
    return [
        f"{row.metric}: {which} {direction}"
        for row in spectrum.table
        for which, direction in (("slowest", row.slowest), ("fastest", row.fastest))
        if direction is not None
    ]


def footnotes(spectrum) -> list[str]:
    """What the columns mean and what they cannot see."""
    share = spectrum.table[0].indefinite_share
    text = [
        f"HMC, HMC x², NUTS: predicted gradients per effective draw at acceptance {spectrum.target_accept:g}; "
        f"indefinite Hessians at {share.value:.0%} of {share.num_draws} points; cost {spectrum.gradients:,} gradients"
    ]
    return [*text, *spectrum.notes]


def spectrum_text(spectrum) -> str:
    """Everything, for `print`."""
    lines = [[head for head, _ in COLUMNS], *cells(spectrum)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([spectrum.where, *table, "", *ends(spectrum), "", *footnotes(spectrum)])
