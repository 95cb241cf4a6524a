"""Rows made here against costs that others published for the same methods: does the counter tell the same?

Run: python -m benchmarks.published benchmarks/results/peers.jsonl [--posteriordb FOLDER]
Published are CmdStan's and nutpie's gradients to an ESS of 400 (baselines.json). NumPyro's and BlackJAX's diagonal
window adaptations follow Stan's schedule and stand beside CmdStan. Failed rows have a cost too; they are marked.
"""

import argparse
import json
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.problems._posteriordb import find_folder
from benchmarks.run import read_rows

SAME = {
    "nutpie/diagonal": "nutpie_diag", "nutpie/low_rank": "nutpie_low_rank", "cmdstan/diagonal": "cmdstan_diag",
    "numpyro/diagonal": "cmdstan_diag", "blackjax/window_diagonal": "cmdstan_diag",
}  # fmt: skip
NEAR = 1.25


def comparisons(rows: list[dict], published: dict) -> list[tuple[str, str, float, str]]:
    """(method, problem, cost here over the published one, status) of each row that has both."""
    found = []
    for row in rows:
        entry = (published.get(row["problem"]) or {}).get(SAME.get(row["method"], ""))
        if entry and "source" not in row and isinstance(row.get("grads_at_400"), int | float):
            ratio = row["grads_at_400"] / entry["gradients_to_ess_400"]
            found.append((row["method"], row["problem"], ratio, row["status"]))
    return found


def main() -> None:
    """Print each ratio, then a summary for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--posteriordb")
    options = parser.parse_args()
    record = json.loads((find_folder(options.posteriordb) / "baselines.json").read_text())
    found = comparisons(read_rows(options.file), record["posteriors"])
    for method, problem, ratio, status in sorted(found):
        print(f"{method:26s} {problem:42s} {ratio:5.2f} {status}")
    print("\n| method | rows | geometric mean | median | within a factor 1.25 |\n|---|---|---|---|---|")
    for method in dict.fromkeys(method for method, *_ in sorted(found)):
        ratios = [ratio for name, _, ratio, _ in found if name == method]
        near = sum(1 / NEAR <= ratio <= NEAR for ratio in ratios)
        print(f"| {method} | {len(ratios)} | {geometric_mean(ratios):.2f} | {median(ratios):.2f} | {near} |")


if __name__ == "__main__":
    main()
