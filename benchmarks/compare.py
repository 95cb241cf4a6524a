"""The founding claims on four posteriors: what `monochord.compare` finds on each.

Run: python -m benchmarks.compare [--problems ill_cond_50 ...] [--seeds 5] [--output benchmarks/results/compare.csv]
     python -m benchmarks.compare --table   (the ratios of the stored rows, as Markdown)
One row a problem, metric, seed and number of draws, with `Row`'s columns. Moments: independent draws for the funnel, else
a long run of our own sampler, whose ESS and R̂ are in the row.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks.problems import load  # noqa: E402
from monochord.comparison import COLUMNS, Row  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "compare.csv"
PROBLEMS = ("ill_cond_50", "arK-arK", "eight_schools-eight_schools_noncentered", "funnel_10")
OURS = ("problem", "dim", "reference_ess", "reference_r_hat", "reference_is_reliable")
FUNNEL_DRAWS = 50_000


def compared(name: str, seeds: int) -> tuple[mc.Comparison, list[dict]]:
    problem = load(name)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data)
    reference = funnel_draws(target) if name.startswith("funnel") else None
    found = mc.compare(target, seeds=seeds, seed=0, reference=reference, progress=True)
    moments = found.reference
    common = {
        "problem": name, "dim": target.dim, "reference_ess": round(moments.ess), "reference_r_hat": round(moments.r_hat, 4),
        "reference_is_reliable": moments.is_reliable,
    }  # fmt: skip
    return found, [common | dataclasses.asdict(row) for row in found.rows]


def funnel_draws(target) -> np.ndarray:
    """Independent draws of the funnel, which no constant metric can run long enough for."""
    rng = np.random.default_rng(10)
    v = 3.0 * rng.standard_normal(FUNNEL_DRAWS)
    x = np.exp(v / 2)[:, None] * rng.standard_normal((FUNNEL_DRAWS, target.dim - 1))
    draws = np.empty((FUNNEL_DRAWS, target.dim))
    is_v = np.array([name == "v" for name in target.names])
    draws[:, is_v], draws[:, ~is_v] = v[:, None], x
    return draws


def stored(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*OURS, *COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def comparison_of(rows: list[dict]) -> mc.Comparison:
    """The comparison that stored rows of one problem belong to, without its long run."""
    kinds = {field.name: field.type for field in dataclasses.fields(Row)}
    read = {str: str, int: int, float: float, int | None: lambda text: int(text) if text else None}
    made = tuple(Row(**{name: read[kinds[name]](row[name]) for name in COLUMNS}) for row in rows)
    return mc.Comparison(made, None, 0.8, 4, 0, "complete")


def table(rows: list[dict]) -> str:
    """Each claim: the variational start over the other two, and the outcome."""
    lines = ["| problem | claim | over identity | over diagonal |", "|---|---|---|---|"]
    for name in dict.fromkeys(row["problem"] for row in rows):
        outcomes = comparison_of([row for row in rows if row["problem"] == name]).outcomes
        for claim in dict.fromkeys(outcome.claim for outcome in outcomes):
            cells = [f"{o.ratio}, {o.outcome}" for o in outcomes if o.claim == claim]
            lines.append(f"| {name} | {claim} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(stored(arguments.output)))
        return
    for name in arguments.problems:
        found, rows = compared(name, arguments.seeds)
        print(f"\n{name}\n{found}", flush=True)
        kept = [row for row in stored(arguments.output) if row["problem"] != name]
        write(arguments.output, kept + rows)


if __name__ == "__main__":
    main()
