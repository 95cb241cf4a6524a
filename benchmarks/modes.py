"""Runs over separate modes, everything charged: stated weights and their errors against the truth, and whether the draws are right.

A row is one `mc.sample` at its defaults. `total` counts the gradients of the fit that found the modes, of the fit of each mode, of warm-up, of
sampling and of the bridges (`gradients_weights`, a part of `gradients_sampling`). A row is right where the run ended by itself, every
unconstrained coordinate has an ESS of 300, no moment lies beyond the truth by more than both errors allow, and, where the truth has
two modes, the weight of each is stated and within .05. `weight` is that of the heavier true mode, `z` its difference from the truth over its stated error. `at_400` is
the total if sampling had stopped at an ESS of exactly 400. `found` is how many modes the starts saw, `kept` how many have chains.

Run: python -m benchmarks.modes [--output benchmarks/results/modes.csv] [problem ...] [--seeds 200 … 249]
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
from scipy.stats import chi2

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks.maps import LEAST_ESS, mc_convergence, read, z_scores  # noqa: E402
from benchmarks.problems import load  # noqa: E402

SEEDS = {"two_modes_10": range(200, 250), "hmm_example-hmm_example": range(200, 205)}
TRUE_WEIGHT, WITHIN = 0.7, 0.05  # of the mode at +3e of two_modes_10
NEGLIGIBLE = 1e-3  # of the mass: a mode with less, by its ELBO, gets no chains
FIELDS = (
    "problem", "seed", "right", "why_not", "total", "at_400", "gradients_fit", "gradients_warmup", "gradients_sampling",
    "gradients_weights", "found", "kept", "weight", "standard_error", "z", "largest_left_out", "kernel", "verdict", "status", "ess", "r_hat",
    "worst", "error_z", "z_limit",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--output")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("problems", nargs="*", default=tuple(SEEDS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = read(options.output) if options.output and os.path.exists(options.output) else []
    if options.table:
        print(table(known))
        return
    done = {(row["problem"], int(row["seed"])) for row in known}
    file = open(options.output, "a", newline="") if options.output else sys.stdout  # noqa: SIM115
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    if not known:
        writer.writeheader()
    for name in options.problems:
        seeds = [seed for seed in options.seeds or SEEDS[name] if (name, seed) not in done]
        for row in rows(name, seeds):
            writer.writerow(row)
            file.flush()


def rows(name: str, seeds: list[int]) -> Iterator[dict]:
    """Rows of one problem; its programs compile once."""
    if not seeds:
        return
    problem = load(name)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data, constrain=problem.constrain)
    for seed in seeds:
        fit = mc.fit(
            target, seed=seed, progress=False
        )  # the same as `sample` makes, at no charge: for the modes it left out
        data = mc.sample(target, seed=seed, progress=False)
        yield {"problem": name, "seed": seed} | _row(problem, fit, data)


def _row(problem, fit: mc.FitResult, data) -> dict:
    attrs = data.sample_stats.attrs
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    x = data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    ess, r_hat = mc_convergence(x)
    scores, limit = z_scores(problem, x)
    worst = max(scores, key=lambda key: scores[key])
    weight, error = _weight(problem, data)
    off = problem.name == "two_modes_10" and not abs(weight - TRUE_WEIGHT) <= WITHIN
    reasons = [
        text
        for bad, text in (
            (attrs["status"] != "target ESS reached", attrs["status"]),
            (not ess >= LEAST_ESS, f"ESS {ess:.0f}"),
            (not scores[worst] <= limit, f"{worst} off by {scores[worst]:.1f} standard errors"),
            (off, f"weight {weight:.3f}"),
        )
        if bad
    ]
    left = [mode.share for mode in fit.modes if mode.share <= NEGLIGIBLE]
    total = sum(gradients.values())
    sampling = gradients["gradients_sampling"]
    return gradients | {
        "right": not reasons, "why_not": "; ".join(reasons), "total": total,
        "at_400": round(total - sampling + sampling * 400 / ess), "gradients_weights": attrs.get("gradients_weights", 0),
        "found": max(1, len(fit.modes)), "kept": max(1, len(fit.modes) - len(left)), "weight": round(weight, 5),
        "standard_error": round(error, 5), "z": round((weight - TRUE_WEIGHT) / error, 3) if error == error else "",
        "largest_left_out": f"{max(left):.1e}" if left else "", "kernel": attrs["kernel"], "verdict": attrs["verdict"],
        "status": attrs["status"], "ess": round(ess), "r_hat": round(r_hat, 4), "worst": worst,
        "error_z": round(scores[worst], 2), "z_limit": round(limit, 2),
    }  # fmt: skip


def _weight(problem, data) -> tuple[float, float]:
    """Of the heavier true mode, and its stated error; NaN where none is stated."""
    if "modes" not in data.children or "centre" not in problem.data:
        return float("nan"), float("nan")
    modes = data["modes"]
    along = modes["center"].values @ np.asarray(problem.data["centre"])
    k = int(np.argmax(along))
    return float(modes["weight"][k]), float(modes["standard_error"][k])


def table(found: list[dict[str, str]]) -> str:
    """By problem: right rows, weights, the calibration of their errors, and totals."""
    lines = [
        "| problem | right | weight: furthest from the truth | stated error: median | rms of z (95 % if honest) | total: least, median, most | at 400: median |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["problem"] for row in found):
        own = [row for row in found if row["problem"] == name]
        z = np.array([float(row["z"]) for row in own if row["z"]])
        stated = "- | - | -"
        if len(z):
            low, high = (np.sqrt(chi2.ppf(share, len(z)) / len(z)) for share in (0.025, 0.975))
            furthest = max((float(row["weight"]) for row in own if row["z"]), key=lambda w: abs(w - TRUE_WEIGHT))
            error = statistics.median(float(row["standard_error"]) for row in own if row["z"])
            stated = f"{furthest:.3f} | {error:.4f} | {np.sqrt(np.mean(z**2)):.2f} ({low:.2f}–{high:.2f})"
        totals = [int(row["total"]) for row in own]
        right = sum(row["right"] == "True" for row in own)
        at_400 = statistics.median(int(row["at_400"]) for row in own)
        lines.append(
            f"| {name} | {right} of {len(own)} | {stated} | {min(totals):,}, {statistics.median(totals):,.0f}, {max(totals):,} | {at_400:,.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
