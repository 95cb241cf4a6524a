"""How cost grows with dimensions, condition number, chains and rows of data: ours and peers, with fitted exponents.

Run: python -m benchmarks.scaling [--axes dim condition chains rows] [--methods PREFIX ...] [--max-seconds 150]
     python -m benchmarks.scaling --table [--plot benchmarks/results/scaling.png]
One process a row, as in `benchmarks.row`; rows are kept in `results/scaling.jsonl`, the same command resumes, and sizes beyond one that
ran out of time or memory are not tried. `grads@400` is judged as everywhere (R-hat, ESS, true moments where they have a closed form).
Seconds are of warm-up, fit and sampling of the counted run, without imports and compiling; counting adds some microseconds a gradient.
An exponent is the slope of a least-squares line through the logarithms of right rows, with its standard error.
"""

import argparse
import json
import math
import os
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.run import drop_half_line, make_row
from benchmarks.scores import write_notes

FOLDER = Path(__file__).parent
METHODS = (
    "monochord/auto/auto",
    "nutpie/low_rank",
    "nutpie/diagonal",
    "numpyro/dense",
    "numpyro/diagonal",
    "blackjax/auto",
)
STAGES = ("fit", "warmup", "sampling")
AXES = {
    "dim": ("spikes", (1e1, 1e2, 1e3, 1e4, 1e5)),
    "condition": ("condition", (1e0, 1e2, 1e4, 1e6, 1e8)),
    "rows": ("rows", (1e3, 1e4, 1e5, 1e6, 1e7)),
    "chains": ("rows", (1, 4, 16, 64, 256, 1024)),
}
LABELS = {"dim": "dimensions", "condition": "condition number", "rows": "rows of data", "chains": "chains"}
MARKERS = ("<!-- table of benchmarks.scaling -->", "<!-- end of scaling -->")
MANY_CHAINS_DRAWS, ALL_DRAWS = (
    100,
    4_000,
)  # least of a chain, and of all chains where there are few, on the axis `chains`
LARGE, LARGE_DRAWS = 1e5, 250  # dimensions from which draws are fewer, for memory


def setting(axis: str, size: float) -> tuple[str, dict[str, str]]:
    """Problem and environment of a row."""
    family, _ = AXES[axis]
    if axis == "chains":
        draws = max(MANY_CHAINS_DRAWS, ALL_DRAWS // int(size))
        return "rows@1e+03", {"BENCHMARK_CHAINS": str(int(size)), "BENCHMARK_DRAWS": str(draws)}
    draws = {"BENCHMARK_DRAWS": str(LARGE_DRAWS)} if axis == "dim" and size >= LARGE else {}
    return f"{family}@{size:.0e}", draws


def is_exhausted(row: dict) -> bool:
    """Whether a larger size has no chance."""
    return row["status"] == "failed" and any(
        word in row["reason"] for word in ("timed out", "hung", "crashed", "Memory")
    )


def read(path: Path) -> dict[tuple, dict]:
    """Rows by (axis, size, method), the last of each."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["axis"], row["size"], row["method"]): row for row in map(json.loads, lines)}


def make(options) -> None:
    """Append every row that is missing."""
    drop_half_line(options.output)
    rows = read(options.output)
    for axis in options.axes:
        for method in METHODS:
            if options.methods and not method.startswith(tuple(options.methods)):
                continue
            for size in AXES[axis][1]:
                if (row := rows.get((axis, size, method))) is None:
                    problem, environment = setting(axis, size)
                    with patch.dict(os.environ, environment):
                        row = {"axis": axis, "size": size} | make_row(problem, method, 0, options)
                    with options.output.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(
                        axis, f"{size:.0e}", method, row["status"], row["reason"], row.get("grads_at_400"), flush=True
                    )
                if is_exhausted(row):
                    break


def seconds(row: dict) -> float:
    """Seconds of the stages, scaled to an ESS of 400 like gradients are."""
    spent = row["seconds_counted"]
    ess = min(row["ess_bulk"], row["ess_tail"])
    return spent["fit"] + spent["warmup"] + spent["sampling"] * 400 / ess


def exponent(sizes, costs) -> tuple[float, float]:
    """Slope of log cost on log size, and its standard error (0 for two points)."""
    x, y = np.log(sizes), np.log(costs)
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    residuals = y - y.mean() - slope * x
    error = math.sqrt(residuals @ residuals / max(len(x) - 2, 1) / (x @ x)) if len(x) > 2 else 0.0
    return slope, error


def table(rows: dict[tuple, dict]) -> str:
    """Markdown: grads@400 by size and method for each axis, and the exponents."""
    lines = []
    for axis, (_, sizes) in AXES.items():
        mine = {key[1:]: row for key, row in rows.items() if key[0] == axis}
        methods = [method for method in METHODS if any(key[1] == method for key in mine)]
        if not methods:
            continue
        heads = [f"{size:.0e}" if size >= 1e3 else f"{size:.0f}" for size in sizes]
        lines += [f"| {LABELS[axis]} | " + " | ".join(heads) + " | exponent, gradients | exponent, seconds |"]
        lines += ["|---" * (len(sizes) + 3) + "|"]
        for method in methods:
            cells = [_cell(mine.get((size, method))) for size in sizes]
            right = [(size, mine[size, method]) for size in sizes if mine.get((size, method), {}).get("status") == "ok"]
            lines.append(f"| {method} | " + " | ".join([*cells, *_exponents(right)]) + " |")
        lines.append("")
    return "\n".join(lines)


def _exponents(right: list[tuple[float, dict]]) -> list[str]:
    if len(right) < 2:
        return ["-", "-"]
    sizes = [size for size, _ in right]
    found = (exponent(sizes, [cost(row) for _, row in right]) for cost in (lambda row: row["grads_at_400"], seconds))
    return [f"{slope:.2f} ± {error:.2f}" if error else f"{slope:.2f}" for slope, error in found]


def _cell(row: dict | None) -> str:
    if row is None:
        return "-"
    if row["status"] == "ok":
        return f"{row['grads_at_400']:,} ({seconds(row):.1f} s)"
    return "failed: " + row["reason"].split(";")[0][:24]


def plot(rows: dict[tuple, dict], path: Path) -> None:
    """One panel an axis: grads@400 against size, logarithmic both ways; a cross where a method failed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(AXES), figsize=(4 * len(AXES), 3.6), sharey=True, layout="constrained")
    for panel, axis in zip(panels, AXES, strict=True):
        for place, method in enumerate(METHODS):
            right = sorted(
                (key[1], row["grads_at_400"])
                for key, row in rows.items()
                if key[::2] == (axis, method) and row["status"] == "ok"
            )
            wide = 2.4 if method.startswith("monochord") else 1.2
            panel.loglog(
                *zip(*right, strict=True), "o-", color=f"C{place}", lw=wide, ms=3.5, label=method
            ) if right else None
        panel.set_xlabel(LABELS[axis])
    panels[0].set_ylabel("gradients to an ESS of 400")
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Make rows, or print what they show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES))
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--max-seconds", type=float, default=150.0)
    parser.add_argument("--output", type=Path, default=FOLDER / "results" / "scaling.jsonl")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--notes", type=Path)
    options = parser.parse_args()
    options.timing, options.posteriordb = False, None
    if options.table:
        rows = read(options.output)
        print(table(rows))
        if options.plot:
            plot(rows, options.plot)
        if options.notes:
            write_notes(options.notes, [table(rows).strip()], MARKERS)
    else:
        make(options)


if __name__ == "__main__":
    main()
