"""Tables and scores from rows alone.

Run: python -m benchmarks.scores results/peers.jsonl [more.jsonl] [--ours monochord/auto/nuts] [--plot out.png]
A failure of ours counts ten times the gradients it spent; a peer's failure leaves its ratio and is listed.
"""

import argparse
import math
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.run import read_rows

OURS = ("monochord/auto/nuts", "monochord/auto/hmc")
FAILURE_FACTOR = 10


def cost(row: dict, is_ours: bool) -> float | None:
    """grads@400 of a row; of a failed one ten times what it spent if ours, else None."""
    if row["status"] == "ok":
        return float(row["grads_at_400"])
    if not is_ours:
        return None
    return FAILURE_FACTOR * float(row.get("gradients_total") or 0) or math.inf


def grouped(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Rows of each (problem, method), every seed."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["problem"], row["method"]), []).append(row)
    return groups


def ratio(rows: list[dict], ours: str, peer: str) -> dict:
    """Geometric mean over problems of cost(ours)/cost(peer); medians over seeds, a peer's failed seed fails it."""
    groups, ratios, left_out, ours_failed = grouped(rows), {}, {}, []
    for problem in dict.fromkeys(problem for problem, _ in groups):
        mine, theirs = groups.get((problem, ours)), groups.get((problem, peer))
        if not mine or not theirs:
            continue
        bad = [row["reason"] for row in theirs if cost(row, False) is None]
        if bad:
            left_out[problem] = bad[0]
            continue
        if any(row["status"] != "ok" for row in mine):
            ours_failed.append(problem)
        ratios[problem] = median(cost(row, True) for row in mine) / median(cost(row, False) for row in theirs)
    mean = geometric_mean(ratios.values()) if ratios else None
    return {"mean": mean, "ratios": ratios, "left_out": left_out, "ours_failed": ours_failed}


def table(rows: list[dict]) -> str:
    """Markdown: grads@400 for each problem (lines) and method (columns); a failure shows its reason."""
    groups = grouped(rows)
    names, methods = (list(dict.fromkeys(key[place] for key in groups)) for place in (0, 1))
    lines = ["| problem | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for name in names:
        cells = [_cell(groups.get((name, method), [])) for method in methods]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: list[dict]) -> str:
    failed = [row["reason"] for row in rows if row["status"] != "ok"]
    if failed:
        return "failed: " + failed[0].split(";")[0][:60].replace("|", "/")
    return f"{median(row['grads_at_400'] for row in rows):,.0f}" if rows else "not run"


def ratio_table(rows: list[dict], ours: str) -> str:
    """Markdown: the ratio to each peer, with how many problems made it and which were left out."""
    lines = [f"| {ours} / peer | ratio | problems | peer failed | ours failed (×10) |", "|---|---|---|---|---|"]
    for peer in dict.fromkeys(row["method"] for row in rows if not row["method"].startswith("monochord/")):
        score = ratio(rows, ours, peer)
        mean = "-" if score["mean"] is None else f"{score['mean']:.3f}"
        lists = ", ".join(score["left_out"]) or "-", ", ".join(score["ours_failed"]) or "-"
        lines.append(f"| {peer} | {mean} | {len(score['ratios'])} | {lists[0]} | {lists[1]} |")
    return "\n".join(lines)


def plot(rows: list[dict], path: Path) -> None:
    """grads@400 of every successful row, a line of points for each problem."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("problem", "method"))
    figure, axes = plt.subplots(figsize=(9, 1 + 0.3 * len(names)), layout="constrained")
    for method in methods:
        chosen = [row for row in rows if row["method"] == method and row["status"] == "ok"]
        places = [names.index(row["problem"]) for row in chosen]
        axes.plot([row["grads_at_400"] for row in chosen], places, "o", label=method, alpha=0.7)
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlabel="gradients to ESS 400 (failures absent)")
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the tables; draw the plot if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--ours", nargs="*", default=list(OURS))
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = [row for path in options.files for row in read_rows(path)]
    print(table(rows))
    for ours in options.ours:
        print("\n" + ratio_table(rows, ours))
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
