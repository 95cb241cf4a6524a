"""ESS per gradient of long runs on a stiff Gaussian: 8 chains of 4,000 draws on `ill_cond_50`, everything charged.

Run: python -m benchmarks.rate [--seeds 5] [--methods monochord/auto/nuts ...] [--output benchmarks/results/rate.csv]
BlackJAX publishes 0.119 to 0.134 bulk ESS a gradient for its `metric="auto"` on this kind of target. `smallest` is the smallest of bulk, tail
and (x − mean)² ESS over all coordinates, a gradient. Both divide by every gradient from the first start on, idle lanes included.
"""

import argparse
import csv
import os
from pathlib import Path
from unittest.mock import patch

from benchmarks.run import make_row

COLUMNS = (
    "method",
    "seed",
    "status",
    "reason",
    "gradients",
    "ess_bulk",
    "ess_tail",
    "ess_square",
    "bulk_a_gradient",
    "smallest_a_gradient",
)
METHODS = ("monochord/auto/nuts", "monochord/auto/auto", "blackjax/auto", "nutpie/low_rank")


def row_of(method: str, seed: int, options) -> dict:
    """One run in a process of its own."""
    with patch.dict(os.environ, {"BENCHMARK_CHAINS": "8", "BENCHMARK_DRAWS": "4000"}):
        row = make_row("ill_cond_50", method, seed, options)
    if "ess_bulk" not in row:
        return {name: row.get(name) for name in COLUMNS}
    gradients = row["gradients_total"] + row["idle_lanes"]
    smallest = min(row["ess_bulk"], row["ess_tail"], row["ess_square"])
    rates = {
        "bulk_a_gradient": round(row["ess_bulk"] / gradients, 4),
        "smallest_a_gradient": round(smallest / gradients, 4),
    }
    return {name: row.get(name) for name in COLUMNS} | {"gradients": gradients} | rates


def main() -> None:
    """Write the rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--max-seconds", type=float, default=300.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "rate.csv")
    options = parser.parse_args()
    options.timing, options.posteriordb = False, None
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for method in options.methods:
            for seed in range(options.seeds):
                row = row_of(method, seed, options)
                writer.writerow(row)
                file.flush()
                print(row, flush=True)


if __name__ == "__main__":
    main()
