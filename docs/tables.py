"""Tables of the pages, made from the committed rows of `benchmarks/` when the pages are built."""

import csv
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
VERDICTS = ("trust", "start only", "do not use")


class Table(str):
    """Markdown that a notebook shows as a table, and that prints as it is."""

    def _repr_markdown_(self) -> str:
        return str(self)


def table(heads: Iterable[str], rows: Iterable[Iterable]) -> Table:
    """Markdown of rows; numbers above 100 without decimals and with commas."""
    lines = [list(heads), *([_cell(value) for value in row] for row in rows)]
    return Table("\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]]))


def _cell(value) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return str(value)


def json_rows(name: str) -> list[dict]:
    """Rows of a .jsonl file of the benchmarks."""
    return [json.loads(line) for line in (RESULTS / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def csv_rows(name: str) -> list[dict]:
    """Rows of a .csv file of the benchmarks, numbers as numbers."""
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def grouped(rows: Iterable[dict], *keys: str) -> dict[tuple, list[dict]]:
    """Rows by the values of `keys`, in the order of their first row."""
    groups: dict[tuple, list[dict]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return dict(groups)


def problems_with_every_fit() -> list[str]:
    """Problems on which each algorithm has rows, so that shares compare like with like."""
    rows = json_rows("fits.jsonl")
    algorithms = {row["algorithm"] for row in rows}
    made = {problem: {row["algorithm"] for row in group} for (problem,), group in grouped(rows, "problem").items()}
    return [problem for problem, names in made.items() if names == algorithms]


def fits_by_algorithm() -> Table:
    """For each algorithm: verdicts, agreement with the verdict that the problem deserves, gradients, distance in ELBO."""
    common = set(problems_with_every_fit())
    rows = [row for row in json_rows("fits.jsonl") if row["problem"] in common]
    best = _best_elbos(rows)
    lines = []
    for (algorithm,), mine in grouped(rows, "algorithm").items():
        counts = Counter(row.get("verdict", "crash") for row in mine)
        spent = [row["gradients"] for row in mine]
        near = [_is_near(row, best) for row in mine if (row["problem"], row["metric"]) in best]
        shares = [f"{counts[verdict] / len(mine):.0%}" for verdict in VERDICTS]
        close = f"{sum(near) / len(near):.0%}" if near else "–"
        lines.append((median(spent), [f"`{algorithm}`", len(mine), *shares, close, median(spent), max(spent)]))
    heads = ("algorithm", "fits", *VERDICTS, "ELBO within .5 of the best", "gradients, median", "most")
    return table(heads, [line for _, line in sorted(lines, key=lambda pair: pair[0])])


def _best_elbos(rows: list[dict]) -> dict[tuple, float]:
    """The best ELBO of each problem and kind of metric among fits whose ELBO is known within a nat."""
    best: dict[tuple, float] = {}
    for row in rows:
        if _has_elbo(row) and row["elbo"][1] < 1:
            key = (row["problem"], row["metric"])
            best[key] = max(best.get(key, -math.inf), row["elbo"][0] - 2 * row["elbo"][1])
    return best


def _has_elbo(row: dict) -> bool:
    return bool(row.get("elbo")) and None not in row["elbo"]


def _is_near(row: dict, best: dict[tuple, float]) -> bool:
    return _has_elbo(row) and best[row["problem"], row["metric"]] - row["elbo"][0] - 2 * row["elbo"][1] <= 0.5


def verdicts_of_default() -> Table:
    """How often the default fit's verdict is one that the problem deserves, where that is known."""
    lines = []
    for (problem,), mine in grouped(_default_rows(), "problem").items():
        wanted = mine[0]["wanted"]
        if not wanted:
            continue
        counts = Counter(row["verdict"] for row in mine)
        right = sum(row["verdict"] in wanted for row in mine)
        said = ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])
        lines.append(
            [f"`{problem}`", wanted, said, f"{right} of {len(mine)}", median(row["gradients"] for row in mine)]
        )
    return table(("problem", "deserved", "given", "right", "gradients, median"), lines)


def _default_rows() -> list[dict]:
    return [row for row in json_rows("fits.jsonl") if row["algorithm"] == "default"]


def structures_chosen() -> Table:
    """What structure of the metric the default fit ended with, by dimension."""
    bands = (("up to 100", 0, 100), ("101 to 1,000", 101, 1000), ("above 1,000", 1001, 10**9))
    lines = []
    for label, low, high in bands:
        mine = [row for row in _default_rows() if low <= row["dim"] <= high]
        counts = Counter(row["metric"] for row in mine)
        ranks = [row["rank"] for row in mine if row.get("rank") is not None]
        rank = f"{min(ranks)} to {max(ranks)}" if ranks else "–"
        kinds = [f"{counts[kind] / len(mine):.0%}" for kind in ("DiagonalMetric", "DenseMetric", "LowRankMetric")]
        lines.append([label, len({row["problem"] for row in mine}), *kinds, rank])
    return table(("coordinates", "problems", "diagonal", "dense", "low rank", "its rank"), lines)


def predicted_costs() -> Table:
    """Measured gradients an effective draw under the fitted and under the best diagonal metric, real posteriors."""
    rows = [row for row in csv_rows("prediction.csv") if row["kernel"] == "hmc"]
    lines = []
    for (problem,), mine in grouped(rows, "problem").items():
        found = {row["metric"]: row for row in mine}
        if {"fitted", "diagonal"} <= set(found):
            fitted, diagonal = found["fitted"], found["diagonal"]
            gain = diagonal["measured"] / fitted["measured"]
            lines.append([f"`{problem}`", fitted["dim"], diagonal["measured"], fitted["measured"], f"{gain:.1f}"])
    return table(("posterior", "coordinates", "diagonal", "fitted", "ratio"), lines)


def kernels() -> Table:
    """Gradients to an ESS of 400 by kernel, median of the seeds."""
    found = grouped(csv_rows("main_job.csv"), "posterior", "kernel")
    lines = []
    for posterior in dict.fromkeys(posterior for posterior, _ in found):
        costs = [median(row["grads_at_400"] for row in found[posterior, kernel]) for kernel in ("auto", "nuts", "hmc")]
        verdicts = Counter(row["verdict"] for row in found[posterior, "auto"])
        lines.append([f"`{posterior}`", ", ".join(verdicts), *costs, f"{costs[1] / costs[2]:.1f}"])
    return table(("posterior", "verdict", "auto", "nuts", "hmc", "nuts / hmc"), lines)


def chosen_by_auto() -> Table:
    """Which kernel ``kernel="auto"`` took, judged by its cost: it equals that of the kernel it chose, and the pilot."""
    found = grouped(csv_rows("main_job.csv"), "posterior", "kernel")
    lines = []
    for posterior in dict.fromkeys(posterior for posterior, _ in found):
        auto, nuts, hmc = (median(row["grads_at_400"] for row in found[posterior, k]) for k in ("auto", "nuts", "hmc"))
        lines.append([f"`{posterior}`", f"{auto / min(nuts, hmc):.2f}"])
    return table(("posterior", "cost of auto over the cheaper kernel"), lines)


def costs_without_fit(faults: Iterable[str] = ()) -> Table:
    """What a faulty fit costs over a run without any, median of the seeds."""
    rows = [row for row in csv_rows("faults.csv") if not faults or row["fault"] in faults]
    lines = []
    for (fault, handed), mine in grouped(rows, "fault", "handed").items():
        ratios = [row["grads_at_400"] / row["grads_at_400_no_fit"] for row in mine if _is_cost(row)]
        if ratios:
            lines.append([fault, handed, len(ratios), f"{median(ratios):.2f}", f"{max(ratios):.2f}"])
    return table(("fault put into the fit", "handed over as", "runs", "cost over no fit, median", "worst"), lines)


def _is_cost(row: dict) -> bool:
    return all(
        isinstance(row[key], float) and math.isfinite(row[key]) for key in ("grads_at_400", "grads_at_400_no_fit")
    )


def compared(make: Callable[[list[dict]], str]) -> Table:
    """A table of `benchmarks.scores` over the rows of every peer."""
    from benchmarks.run import read_rows

    return Table(make(read_rows(RESULTS / "peers.jsonl")))


def losses(ours: str) -> Table:
    """Problems on which a peer was right and ours failed, or cost more than the cheapest right peer."""
    from benchmarks import scores
    from benchmarks.run import read_rows

    rows = read_rows(RESULTS / "peers.jsonl")
    lines = []
    for (problem,), group in grouped(rows, "problem").items():
        mine = [row for row in group if row["method"] == ours]
        right = {row["method"]: row["grads_at_400"] for row in group if scores.is_peer(row) and row["status"] == "ok"}
        if not mine or not right:
            continue
        best = min(right, key=lambda method: right[method])
        failed = [row["reason"].split(";")[0] for row in mine if row["status"] != "ok"]
        spent = None if failed else median(row["grads_at_400"] for row in mine)
        if failed or spent > right[best]:
            lines.append([f"`{problem}`", best, right[best], f"failed: {failed[0]}" if failed else spent])
    return table(("problem", "cheapest right peer", "its grads@400", "ours"), lines)


def ratios(ours: str) -> Table:
    """The geometric mean of our cost over each peer's, by the benchmark's own rule; failures counted."""
    from benchmarks import scores
    from benchmarks.run import read_rows

    rows = read_rows(RESULTS / "peers.jsonl")
    lines = []
    for peer in scores.peers(rows):
        score = scores.ratio(rows, ours, peer)
        failed = ", ".join(f"`{name}`" for name in score["ours_failed"]) or "none"
        mean = "–" if score["mean"] is None else f"{score['mean']:.3f}"
        lines.append([peer, mean, len(score["ratios"]), len(score["left_out"]), failed])
    return table(("peer", "our cost / its cost", "problems", "left out, as it failed", "ours failed (× 10)"), lines)


def receivers() -> Table:
    """Leapfrogs a draw of each receiver of an exported metric, ours beside them, and what it needs without one."""
    heads = ("receiver", "version", "leapfrogs with it", "ours", "without", "leapfrogs without")
    columns = ("leapfrogs", "leapfrogs_ours", "without", "leapfrogs_without")
    rows = csv_rows("exports.csv")
    return table(heads, [[row["receiver"], str(row["version"]), *(row[name] for name in columns)] for row in rows])
