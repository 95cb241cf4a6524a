"""Textbook hierarchies written centred, with and without maps, everything charged: what a run to an ESS of 400 costs, and whether it is right.

The truth of each is a run of the form without centring, by NUTS without fit or map at an acceptance of .98 to an ESS of 3,000, made here and kept in
`--folder`. Compared are logarithms of scales and some of what they scale: means, squares about the true mean, and the shares beyond the true 5 and
95 % quantiles. A row is right where the run ended by itself and none of these lies further off than chance allows once in 10,000 such sets.

Run: python -m benchmarks.naive [model ...] [--output benchmarks/results/naive.csv] [--seeds 0 … 9] [--maps off on] [--folder FOLDER]
The same command resumes; `--table` prints a summary of the rows there.
"""

import argparse
import csv
import inspect
import os
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

import jax
import numpy as np
from arviz_stats.base import array_stats
from scipy.stats import norm

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.maps import read  # noqa: E402
from benchmarks.naive import MODELS, Naive  # noqa: E402

MAX_GRADIENTS = 400_000
REFERENCE_ESS, REFERENCE_SECONDS = 3000, 120
SHOWN = 6  # entries of one parameter that are compared
FIELDS = (
    "model", "maps", "seed", "right", "mapped", "map", "verdict", "total", "gradients_fit", "gradients_warmup", "gradients_sampling",
    "kernel", "status", "divergences", "worst", "error_z", "z_limit",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=tuple(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=tuple(range(10)))
    parser.add_argument("--maps", nargs="+", choices=("off", "on"), default=("off", "on"))
    parser.add_argument("--output")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = read(options.output) if options.output and os.path.exists(options.output) else []
    if options.table:
        print(table(known))
        return
    done = {(row["model"], row["maps"], int(row["seed"])) for row in known}
    file = open(options.output, "a", newline="") if options.output else sys.stdout  # noqa: SIM115
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    if not known:
        writer.writeheader()
    for name in options.models:
        wanted = [(maps, seed) for seed in options.seeds for maps in options.maps if (name, maps, seed) not in done]
        for row in rows(name, wanted, Path(options.folder)):
            writer.writerow(row)
            file.flush()


def rows(name: str, wanted: list[tuple[str, int]], folder: Path):
    """Rows of one model; its programs compile once."""
    if not wanted:
        return
    naive = MODELS[name]()
    expected = _reference(folder / f"naive_{name}.npz", naive)
    target = _target(naive, True)
    for maps, seed in wanted:
        fit = mc.fit(target, seed=seed, maps=maps == "on", progress=False)
        run = mc.sample(target, fit=fit, seed=seed, max_gradients=MAX_GRADIENTS, progress=False)
        yield {"model": name, "maps": maps, "seed": seed} | _row(naive, expected, fit, run)


def _target(naive: Naive, centred: bool):
    def model(**data):
        return naive.model(**data, centred=centred)

    names = [one for one in inspect.signature(naive.model).parameters.values() if one.name != "centred"]
    model.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    return mc.target(model, data=naive.data)


def _reference(path: Path, naive: Naive) -> dict[str, np.ndarray]:
    """Draws (chains, draws) of what is compared. **Raises** `RuntimeError` where chains disagree."""
    if not path.exists():
        run = mc.sample(
            _target(naive, False), fit=False, seed=100, target_accept=0.98, target_ess=REFERENCE_ESS, max_time=REFERENCE_SECONDS,
            max_gradients=10_000_000, progress=False,
        )  # fmt: skip
        found = compared(naive, run)
        worst = max(float(array_stats.rhat(draws)) for draws in found.values())
        if not worst < 1.01:
            raise RuntimeError(f"the chains of the reference of {path.stem} disagree (R̂ {worst:.3f})")
        np.savez(path, **found)
    return dict(np.load(path))


def compared(naive: Naive, run) -> dict[str, np.ndarray]:
    """By name, draws (chains, draws)."""
    found = {}
    for name in (*naive.positive, *naive.real):
        values = run["posterior"][name].values
        columns = values.reshape(*values.shape[:2], -1)
        columns = np.log(columns) if name in naive.positive else columns
        label = f"log {name}" if name in naive.positive else name
        found |= {f"{label}[{index}]": columns[:, :, index] for index in range(min(columns.shape[2], SHOWN))}
    return found


def _row(naive: Naive, expected: dict[str, np.ndarray], fit: mc.FitResult, run) -> dict:
    attrs = run.sample_stats.attrs
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    scores = {
        key: score
        for name, draws in compared(naive, run).items()
        for key, score in _scores(name, draws, expected[name])
    }
    worst, limit = max(scores, key=lambda key: scores[key]), float(norm.isf(truth.FALSE_ALARM / (2 * len(scores))))
    return gradients | {
        "right": attrs["status"] == "target ESS reached" and scores[worst] <= limit, "total": sum(gradients.values()),
        "mapped": fit.map.num_moved if fit.map is not None else 0, "map": type(fit.map).__name__ if fit.map is not None else "",
        "verdict": fit.verdict, "kernel": attrs["kernel"], "status": attrs["status"],
        "divergences": int(run.sample_stats["diverging"].sum()), "worst": worst, "error_z": round(scores[worst], 2), "z_limit": round(limit, 2),
    }  # fmt: skip


def _scores(name: str, draws: np.ndarray, exact: np.ndarray):
    """Differences over joint standard errors. The variance is that of the truth: draws that never enter a tail know nothing of it."""
    middle, low, high = exact.mean(), np.quantile(exact, 0.05), np.quantile(exact, 0.95)
    for what, of in {
        "": lambda x: x,
        "²": lambda x: (x - middle) ** 2,
        " below 5 %": lambda x: (x < low).astype(float),
        " above 95 %": lambda x: (x > high).astype(float),
    }.items():
        ours, true = of(draws), of(exact)
        error = np.sqrt(true.var() * (1.0 / _ess(ours) + 1.0 / _ess(true)))
        yield name + what, float(abs(ours.mean() - true.mean()) / error)


def _ess(values: np.ndarray) -> float:
    """Of the mean; that of a fifth of the draws where they never change."""
    return float(array_stats.ess(values, method="mean")) if values.std() > 0 else values.size / 5.0


def table(known: list[dict[str, str]]) -> str:
    """A summary by model, as Markdown."""
    lines = [
        "| model | right off | right on | of wrong ones off, ended by themselves | total off: median | total on: least, median, most |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["model"] for row in known):
        of = {maps: [row for row in known if (row["model"], row["maps"]) == (name, maps)] for maps in ("off", "on")}
        right = {maps: f"{sum(row['right'] == 'True' for row in some)} of {len(some)}" for maps, some in of.items()}
        total = {maps: sorted(int(row["total"]) / 1e3 for row in some) for maps, some in of.items()}
        silent = sum(row["right"] != "True" and row["status"] == "target ESS reached" for row in of["off"])
        on = total["on"]
        shown = f"{on[0]:.1f} k, {statistics.median(on):.1f} k, {on[-1]:.1f} k" if on else "-"
        before = f"{statistics.median(total['off']):.0f} k" if total["off"] else "-"
        lines.append(f"| {name} | {right['off']} | {right['on']} | {silent} | {before} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
