"""Rank plots of the quantities whose chains agree least: flat where every chain visits the same values."""

import numpy as np
from scipy.stats import rankdata

from monochord._arviz import SummaryRow
from monochord.reports._material import least_ess
from monochord.reports._svg import Canvas, figure, shortened, span_of

NUM_BINS = 20  # Vehtari et al. (2021)
NUM_SHOWN = 4
MAX_CHAINS = 8


def worst_rows(rows: list[SummaryRow]) -> list[SummaryRow]:
    """Rows of the largest R̂ and the smallest ESS in turn, at most `NUM_SHOWN`, constant ones left out."""
    known = [row for row in rows if row.sd != 0.0]
    by_r_hat = sorted((r for r in known if np.isfinite(r.r_hat)), key=lambda row: -row.r_hat)
    by_ess = sorted((r for r in known if np.isfinite(least_ess(r))), key=least_ess)
    turns = [row for pair in zip(by_ess, by_r_hat, strict=False) for row in pair] or known
    return list(dict.fromkeys(turns))[:NUM_SHOWN]


def rank_figures(data, rows: list[SummaryRow]) -> str:
    """One picture a quantity."""
    chosen = worst_rows(rows)
    return "".join(_ranks(row, values) for row, values in zip(chosen, values_of(data, chosen), strict=True))


def values_of(data, rows: list[SummaryRow]) -> list[np.ndarray]:
    """Draws (chains, draws) of the quantities behind summary rows, found by their labels."""
    wanted, found = {row.name for row in rows}, {}
    for name, variable in data["posterior"].data_vars.items():
        shape = tuple(size for dim, size in variable.sizes.items() if dim not in ("chain", "draw"))
        labels = {}
        if not shape and str(name) in wanted:
            labels[()] = str(name)
        elif shape and any(label.startswith(f"{name}[") for label in wanted):
            labels = {index: f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(*shape)}
        for index, label in labels.items():
            if label in wanted:
                values = variable.transpose("chain", "draw", ...).values
                found[label] = np.asarray(values[(slice(None), slice(None), *index)], np.float64)
    return [found[row.name] for row in rows]


def _ranks(row: SummaryRow, values: np.ndarray) -> str:
    num_chains, num_draws = values.shape
    ranks = rankdata(values).reshape(values.shape)
    edges = np.linspace(0.0, values.size, min(NUM_BINS, max(2, num_draws // 5)) + 1)
    counts = np.stack([np.histogram(chain, bins=edges)[0] for chain in ranks])
    expected = num_draws / (len(edges) - 1)
    heights = counts / expected
    off = np.argsort(-np.abs(heights - 1.0).max(1), kind="stable")[:MAX_CHAINS]
    canvas = Canvas((0.0, float(values.size)), (0.0, max(2.0, span_of(heights)[1])), height=190)
    canvas.axes("rank among all draws", "count / expected")
    canvas.level(1.0)
    for place, chain in enumerate(sorted(off)):
        canvas.steps(edges, heights[chain], _kind(place))
    worst = int(np.abs(heights - 1.0).max(1).argmax())
    words = (
        f"Ranks of {row.name} in {num_chains} chains over what equal chains would have (1); furthest from it is chain {worst}, "
        f"{heights[worst].min():.2g} to {heights[worst].max():.2g}. R̂ {row.r_hat:.3f}, ESS {least_ess(row):.0f}"
    )
    few = "" if num_chains <= MAX_CHAINS else f" The {MAX_CHAINS} chains furthest from flat are shown."
    keys = [(_kind(place), f"chain {chain}") for place, chain in enumerate(sorted(off))]
    return figure(f"Ranks of {shortened(row.name, 40)}", canvas.render(words), f"{words}.{few}", keys)


def _kind(place: int) -> str:
    return f"c{place % 4}{' dashed' if place >= 4 else ''}"
