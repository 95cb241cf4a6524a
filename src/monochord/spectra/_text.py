"""A spectrum as text: a column a metric, then what is behind its two ends, then what it cannot see."""

import math

import numpy as np

from monochord.estimate import Estimate
from monochord.spectra._cost import MIN_NUTS_MODES

COLUMNS = (
    ("metric", None), ("κ", "kappa"), ("κ_L", "kappa_langmore"), ("period", "period"), ("step limit", "step_limit"),
    ("step size", "step_size"), ("HMC", "gradients_per_effective_draw"), ("HMC x²", "gradients_per_effective_square"),
    ("NUTS", "gradients_per_effective_draw_nuts"), ("C(M)", "criterion"),
)  # fmt: skip
MEANINGS = {
    "κ": "stiffness κ = ω²max / ω²min", "κ_L": "Langmore's κ_L", "period": "slowest period 2π/ωmin",
    "step limit": "step size limit 2/ωmax", "step size": "step size for HMC", "HMC": "gradients a draw, HMC",
    "HMC x²": "gradients a draw, HMC, x²", "NUTS": "gradients a draw, NUTS", "C(M)": "cost functional C(M)",
}  # fmt: skip
ALIKE = 1.05  # squared frequencies within 5 % of an end are not told apart from it


def brief(estimate: Estimate | None) -> str:
    """A table cell: three digits, or down to the first digit of the error where that is coarser than a permille."""
    if estimate is None or math.isnan(estimate.value):
        return "–"
    value, error = estimate.value, estimate.standard_error
    if not math.isfinite(error) or error < 1e-3 * abs(value) or not math.isfinite(value):
        return f"{value:.3g}"
    if max(abs(value), error) >= 1e5 or error < 1e-4:
        return f"{value:.3g} ± {error:.0e}"
    decimals = max(0, -math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def cells(spectrum) -> list[list[str]]:
    """The figures as text, a list for each metric in the order of `COLUMNS`; "≥" where Lanczos gives a bound."""
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
    """Lines that name the slowest and fastest direction of each metric, or say that none stands out."""
    width = max(len(row.metric) for row in spectrum.table)
    lines = ["directions, in unconstrained coordinates, each in units of the metric's own sd of it:"]
    for row in spectrum.table:
        name = f"  {row.metric.ljust(width)}  "
        found = row.squared_frequencies
        if found[0] > 0 and found[-1] <= ALIKE * found[0]:
            lines.append(f"{name}all alike: ω² differs by less than {ALIKE - 1:.0%}")
            continue
        for which, direction, omega, end in (
            ("slowest", row.slowest, row.omega_min, found[0]),
            ("fastest", row.fastest, row.omega_max, found[-1]),
        ):
            if direction is not None:
                lines.append(f"{name}{which}: {_crowd(row, omega, end)}{direction}")
                name = " " * len(name)
    return lines


def _crowd(row, omega: Estimate, end: float) -> str:
    """How many modes are within 5 %, or two standard errors, of an end; nothing for one alone."""
    noise = 4.0 * omega.standard_error / omega.value if omega.value > 0 else 0.0  # of ω², which has twice ω's
    near = np.abs(row.squared_frequencies - end) <= max(ALIKE - 1.0, np.nan_to_num(noise)) * abs(end)
    count = float(row.mode_weights[near].sum())
    return f"one of about {count:.0f} alike, " if count >= 1.5 else ""


def footnotes(spectrum) -> list[str]:
    """What the figures mean and what they cannot see."""
    share = spectrum.table[0].indefinite_share
    accept = f"{spectrum.target_accept:g}"
    text = [
        f"Gradients a draw (HMC, HMC x², NUTS): predicted for an effective draw of the least favourable direction, at acceptance {accept}; "
        "HMC with trajectories of the best mean length and jitter.",
        f"{_indefinite(share)} This took {spectrum.gradients:,} gradients.",
    ]
    if math.isnan(spectrum.table[0].gradients_per_effective_draw_nuts.value) and spectrum.table[0].omega_min.value > 0:
        text.append(f"NUTS is predicted from {MIN_NUTS_MODES} coordinates on: its law needs many of them.")
    return [*text, *spectrum.notes]


def _indefinite(share: Estimate) -> str:
    if share.num_draws == 1:
        return f"The Hessian is {'indefinite' if share.value else 'definite'} there."
    return f"The Hessian is indefinite at {share.value:.0%} ± {share.standard_error:.0%} of {share.num_draws} points."


def spectrum_text(spectrum) -> str:
    """Everything, for `print`."""
    heads = ["", *(MEANINGS[head] for head, _ in COLUMNS[1:])]
    columns = [heads, *cells(spectrum)]
    widths = [max(len(cell) for cell in column) for column in columns]
    table = [
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in zip(*columns, strict=True))
    ]
    lines = [f"spectrum, {spectrum.where}", *table, "", *ends(spectrum), "", *footnotes(spectrum)]
    return "\n".join(line.rstrip() for line in lines)
