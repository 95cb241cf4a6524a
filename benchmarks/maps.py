"""Fits with and without maps, everything charged: what runs to an ESS of 400 cost, and whether their answers are right.

A row is one fit and one run of its chains. `total` counts the gradients of the linear fit, of every map tried, of looking at
them, of warm-up and of sampling. A row is right where the run ended by itself (not at its limit), every unconstrained
coordinate has an ESS of 300 (the run's own estimate said 400 of what is reported), and no moment lies beyond the truth by more
than both errors allow. Second moments are left out where their variance is infinite or never seen (funnels: x² has kurtosis
e^36, and sets of independent draws fail too); funnels are judged by means and by the shares of v below its true 5, 50 and 95 % quantiles.

Run: python -m benchmarks.maps [--output benchmarks/results/maps.csv] [problem ...] [--seeds 100 … 109] [--maps off on]
The same command resumes; without --output the rows are printed. `--table` prints a summary of the rows there.
"""

import argparse
import csv
import os
import statistics
import sys
import warnings
from collections.abc import Iterator

import jax
import numpy as np
from scipy.stats import norm

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.flat import flatten  # noqa: E402
from benchmarks.problems import Problem, load  # noqa: E402
from benchmarks.runners import Run  # noqa: E402

HARD = (
    "funnel_10", "rosenbrock_10", "eight_schools-eight_schools_centered", "student3_50", "gp_pois_regr-gp_pois_regr",
    "funnel_100", "slopes_176", "horseshoe_122",
)  # fmt: skip
EASY = (  # where the linear fit does well, or well enough: no worse than 1.1 times
    "eight_schools-eight_schools_noncentered", "logistic_25", "garch-garch11", "nes2000-nes", "diamonds-diamonds", "glmm_57",
    "slopes_176_noncentred", "irt_163", "low_dim_gauss_mix-low_dim_gauss_mix", "hudson_lynx_hare-lotka_volterra", "gp_82",
)  # fmt: skip
MAX_GRADIENTS = 200_000  # of the chains
MORE_GRADIENTS = {"horseshoe_122": 1_200_000}  # what the best of peers needs is 1.73 million
LEAST_ESS = 300.0
FIELDS = (
    "problem", "maps", "seed", "right", "why_not", "total", "gradients_fit", "gradients_warmup", "gradients_sampling", "mapped",
    "linear_verdict", "verdict", "kernel", "status", "ess", "r_hat", "worst", "error_z", "z_limit",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=tuple(range(100, 110)))
    parser.add_argument("--maps", nargs="+", choices=("off", "on"), default=("off", "on"))
    parser.add_argument("--output")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("problems", nargs="*", default=EASY + HARD)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = read(options.output) if options.output and os.path.exists(options.output) else []
    if options.table:
        print(table(known))
        return
    done = {(row["problem"], row["maps"], int(row["seed"])) for row in known}
    file = open(options.output, "a", newline="") if options.output else sys.stdout  # noqa: SIM115
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    if not known:
        writer.writeheader()
    for name in options.problems:
        wanted = [(maps, seed) for seed in options.seeds for maps in options.maps if (name, maps, seed) not in done]
        for row in rows(name, wanted):
            writer.writerow(row)
            file.flush()


def read(path: str) -> list[dict[str, str]]:
    """Rows of a file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def rows(name: str, wanted: list[tuple[str, int]]) -> Iterator[dict]:
    """Rows of one problem; its programs compile once."""
    if not wanted:
        return
    problem = load(name)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data, constrain=problem.constrain)
    for maps, seed in wanted:
        fit = mc.fit(target, seed=seed, maps=maps == "on", progress=False)
        data = mc.sample(
            target, fit=fit, seed=seed, max_gradients=MORE_GRADIENTS.get(name, MAX_GRADIENTS), progress=False
        )
        yield {"problem": name, "maps": maps, "seed": seed} | _row(problem, fit, data)


def _row(problem: Problem, fit: mc.FitResult, data) -> dict:
    attrs = data.sample_stats.attrs
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    x = data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    ess, r_hat = mc_convergence(x)
    scores, limit = z_scores(problem, x)
    worst = max(scores, key=lambda key: scores[key])
    reasons = [
        text
        for bad, text in (
            (attrs["status"] != "target ESS reached", attrs["status"]),
            (not ess >= LEAST_ESS, f"ESS {ess:.0f}"),
            (not scores[worst] <= limit, f"{worst} off by {scores[worst]:.1f} standard errors"),
        )
        if bad
    ]
    return gradients | {
        "right": not reasons, "why_not": "; ".join(reasons), "total": sum(gradients.values()),
        "mapped": fit.map.num_moved if fit.map is not None else 0,
        "linear_verdict": fit.verdict if fit.map is None else "", "verdict": fit.verdict, "kernel": attrs["kernel"],
        "status": attrs["status"], "ess": round(ess), "r_hat": round(r_hat, 4), "worst": worst,
        "error_z": round(scores[worst], 2), "z_limit": round(limit, 2),
    }  # fmt: skip


def mc_convergence(x: np.ndarray) -> tuple[float, float]:
    """Smallest of bulk and tail ESS, and largest R̂, of draws (chains, draws, dim)."""
    found = truth.diagnose({str(index): x[:, :, index] for index in range(x.shape[2])})
    return min(found["ess_bulk"], found["ess_tail"]), found["r_hat"]


def z_scores(problem: Problem, x: np.ndarray) -> tuple[dict[str, float], float]:
    """|difference| over joined standard errors of all that is compared, and the limit for the largest."""
    flat = flatten(problem)
    run = Run(x, {}, {}, 0, reported=0)
    scalars = truth.named_scalars(flat, run)
    funnel = problem.name.startswith("funnel")
    scores = {}
    for name, draws in scalars.items():
        moment = problem.reference[name]
        scores[name] = truth.z_score(draws, moment.mean, moment.mcse_mean)
        if not funnel and moment.sd_sq is not None and np.isfinite(moment.sd_sq):
            scores[f"{name}²"] = truth.z_score(draws**2, moment.mean_sq, moment.mcse_mean_sq)
    if funnel:
        for share in (0.05, 0.5, 0.95):
            below = scalars["v"] < 3.0 * norm.ppf(share)
            scores[f"v at {share:.0%}"] = share_score(below, share)
    return scores, float(norm.isf(truth.FALSE_ALARM / (2 * len(scores))))


def share_score(below: np.ndarray, share: float) -> float:
    """|share of `below` (chains, draws) − `share`| over its standard error if that is the truth."""
    from arviz_stats.base.array import array_stats

    ess = float(array_stats.ess(below.astype(float), method="mean")) if 0 < below.mean() < 1 else 1.0
    return float(abs(below.mean() - share) / np.sqrt(share * (1.0 - share) / ess))


def table(found: list[dict[str, str]]) -> str:
    """By problem: right rows, maps kept, and totals with and without; the median of their ratios seed by seed."""
    lines = [
        "| problem | right off | right on | maps kept | total off | total on: least, median, most | ratio by seed: median, most |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["problem"] for row in found):
        by = {(row["maps"], row["seed"]): row for row in found if row["problem"] == name}
        off, on = ({seed: row for (maps, seed), row in by.items() if maps == which} for which in ("off", "on"))
        ratios = [int(on[seed]["total"]) / int(off[seed]["total"]) for seed in on if seed in off]
        lines.append(
            f"| {name} | {_right(off)} | {_right(on)} | {sum(row['mapped'] != '0' for row in on.values())} | {_median(off)} | "
            f"{_range(on)} | " + (f"{statistics.median(ratios):.2f}, {max(ratios):.2f} |" if ratios else "- |")
        )
    return "\n".join(lines)


def _right(group: dict) -> str:
    return f"{sum(row['right'] == 'True' for row in group.values())} of {len(group)}"


def _median(group: dict) -> str:
    return f"{statistics.median(int(row['total']) for row in group.values()) / 1e3:.1f} k" if group else "-"


def _range(group: dict) -> str:
    totals = [int(row["total"]) / 1e3 for row in group.values()]
    return f"{min(totals):.1f} k, {statistics.median(totals):.1f} k, {max(totals):.1f} k" if totals else "-"


if __name__ == "__main__":
    main()
