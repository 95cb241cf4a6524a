"""Horseshoe regressions on other data than `horseshoe_122`: with and without maps, everything charged, against exact Gibbs sampling.

Logistic regressions of the same prior; rows and columns, true coefficients and the random numbers of the data differ. The truth of each is
made here, by `benchmarks.reference_horseshoe`'s sampler (2 chains of 6,000 draws thinned by 10), and kept in `--folder`. A row is right where the run
ended by itself and no mean or second moment of intercept, z, log λ and log τ lies further off than 5.5 joint standard errors (1 set of 400
in 60 would by chance).

Run: python -m benchmarks.products [--output benchmarks/results/products.csv] [--seeds 0 1 2] [--folder FOLDER]; needs `pip install polyagamma`
The same command resumes; `--table` prints a summary of the rows there.
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.maps import mc_convergence, read  # noqa: E402
from benchmarks.problems import load  # noqa: E402
from benchmarks.reference_horseshoe import chain  # noqa: E402

MAX_GRADIENTS = 1_500_000
LIMIT = 5.5
DATA = {  # rows, columns, seed of the data, the first five coefficients
    "300 × 30": (300, 30, 1, 1.0),
    "60 × 30": (60, 30, 2, 2.0),
    "100 × 60": (100, 60, 3, 2.0),
    "80 × 100": (80, 100, 4, 3.0),
}
FIELDS = (
    "data", "maps", "seed", "right", "mapped", "verdict", "total", "gradients_fit", "gradients_warmup", "gradients_sampling",
    "status", "ess", "r_hat", "worst", "error_z",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--output")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = read(options.output) if options.output and os.path.exists(options.output) else []
    if options.table:
        print(table(known))
        return
    done = {(row["data"], row["maps"], int(row["seed"])) for row in known}
    file = open(options.output, "a", newline="") if options.output else sys.stdout  # noqa: SIM115
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    if not known:
        writer.writeheader()
    for name in DATA:
        wanted = [(m, s) for s in options.seeds for m in ("off", "on") if (name, m, s) not in done]
        for row in rows(name, wanted, Path(options.folder)):
            writer.writerow(row)
            file.flush()


def rows(name, wanted, folder: Path):
    """Rows of one data set; its programs compile once."""
    if not wanted:
        return
    num_rows, num_columns, seed, size = DATA[name]
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((num_rows, num_columns))
    beta = np.where(np.arange(num_columns) < 5, size, 0.0)
    outcomes = (rng.random(num_rows) < 1.0 / (1.0 + np.exp(-design @ beta))).astype(float)
    expected = _reference(folder / f"horseshoe_{num_rows}_{num_columns}_{seed}.npz", design, outcomes)
    problem = load("horseshoe_122")
    init = {key: np.zeros(num_columns if np.ndim(value) else ()) for key, value in problem.init.items()}
    data = {"design": design, "outcomes": outcomes}
    target = mc.target(problem.log_density, init=init, data=data, constrain=problem.constrain)
    for maps, number in wanted:
        fit = mc.fit(target, seed=number, maps=maps == "on", progress=False)
        run = mc.sample(target, fit=fit, seed=number, max_gradients=MAX_GRADIENTS, progress=False)
        yield {"data": name, "maps": maps, "seed": number} | _row(target.names, expected, fit, run)


def _reference(path: Path, design, outcomes) -> dict[str, np.ndarray]:
    """Draws (chains, draws) by the name of a coordinate."""
    if not path.exists():
        chains = [chain((one, 6000, 10, design, outcomes)) for one in np.random.SeedSequence(5).spawn(2)]
        np.savez(path, **{name: np.stack([each[name] for each in chains]) for name in chains[0]})
    found = {}
    for name, values in np.load(path).items():
        for index in range(values.shape[2]) if values.ndim == 3 else (None,):
            found[name if index is None else f"{name}[{index}]"] = values if index is None else values[:, :, index]
    return found


def _row(names, expected, fit: mc.FitResult, run) -> dict:
    attrs = run.sample_stats.attrs
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    x = run["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    scores = {}
    for place, name in enumerate(names):
        for power in (1, 2):
            exact = expected[name] ** power
            error = exact.std() / np.sqrt(truth.diagnose({"": exact})["ess_bulk"])
            scores[name + "²" * (power - 1)] = truth.z_score(x[:, :, place] ** power, exact.mean(), error)
    worst = max(scores, key=lambda key: scores[key])
    ess, r_hat = mc_convergence(x)
    return gradients | {
        "right": attrs["status"] == "target ESS reached" and scores[worst] <= LIMIT, "total": sum(gradients.values()),
        "mapped": fit.map.num_moved if fit.map is not None else 0, "verdict": fit.verdict, "status": attrs["status"],
        "ess": round(ess), "r_hat": round(r_hat, 4), "worst": worst, "error_z": round(scores[worst], 2),
    }  # fmt: skip


def table(known: list[dict[str, str]]) -> str:
    """A summary by data set, as Markdown."""
    lines = [
        "| rows × columns | right off | right on | total off: median | total on: least, median, most |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["data"] for row in known):
        of = {maps: [row for row in known if (row["data"], row["maps"]) == (name, maps)] for maps in ("off", "on")}
        right = {maps: f"{sum(row['right'] == 'True' for row in some)} of {len(some)}" for maps, some in of.items()}
        total = {maps: sorted(int(row["total"]) / 1e3 for row in some) for maps, some in of.items()}
        on, off = total["on"], total["off"]
        shown = f"{on[0]:.0f} k, {statistics.median(on):.0f} k, {on[-1]:.0f} k" if on else "-"
        before = f"{statistics.median(off):.0f} k" if off else "-"
        lines.append(f"| {name} | {right['off']} | {right['on']} | {before} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
