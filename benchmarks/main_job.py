"""Cost and correctness of the main job on reference posteriors: rows of gradients, ESS and errors.

grads@400 = gradients of fit + warm-up + sampling × 400 / ESS, from 4 × 1000 draws, with the ESS the smallest
of bulk and tail over the reference's parameters. A row a posterior, kernel and seed; medians at the end.

Run: python -m benchmarks.main_job [--seeds 5] [--output benchmarks/results/main_job.csv]
"""

import argparse
import csv
import re
import statistics
import sys

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks.problems import load  # noqa: E402

POSTERIORS = (
    "arK-arK",
    "kidiq-kidscore_momhsiq",
    "kidiq-kidscore_interaction",
    "mesquite-logmesquite_logvash",
    "nes2000-nes",
    "eight_schools-eight_schools_noncentered",
)
DRAWS = 1000  # a chain
KERNELS = ("auto", "nuts", "hmc")
FIELDS = (
    "posterior", "kernel", "seed", "verdict", "gradients_fit", "gradients_warmup", "gradients_sampling", "ess",
    "r_hat", "grads_at_400", "acceptance", "divergences", "worst_z_mean", "worst_z_square", "seconds_warm",
)  # fmt: skip


def one_based(name: str) -> str:
    """Our 0-based ``beta[0]`` as posteriordb's ``beta[1]``."""
    return re.sub(r"\[(\d+)\]", lambda match: f"[{int(match[1]) + 1}]", name)


def z_scores(data, problem) -> tuple[float, float]:
    """Largest |z| of means and of second moments against the reference, both errors joined."""
    from arviz_stats.base.array import array_stats

    worst_mean = worst_square = 0.0
    for name, values in data.posterior.data_vars.items():
        array = np.asarray(values.transpose("chain", "draw", ...).values)
        flat = array.reshape(*array.shape[:2], -1)
        for index in range(flat.shape[2]):
            key = one_based(f"{name}[{index}]" if array.ndim > 2 else str(name))
            if key not in problem.reference:
                continue
            reference, draws = problem.reference[key], flat[:, :, index]
            error = np.hypot(array_stats.mcse(draws), reference.mcse_mean)
            worst_mean = max(worst_mean, abs(draws.mean() - reference.mean) / error)
            error = np.hypot(array_stats.mcse(draws**2), reference.mcse_mean_sq)
            worst_square = max(worst_square, abs((draws**2).mean() - reference.mean_sq) / error)
    return worst_mean, worst_square


def run(name: str, kernel: str, seed: int) -> dict:
    """One row."""
    problem = load(name)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data, constrain=problem.constrain)
    data = mc.sample(target, seed=seed, kernel=kernel, draws=DRAWS, progress=False)
    rows = [row for row in mc.summary(data) if one_based(row.name) in problem.reference]
    assert len(rows) == len(problem.reference), "every reference parameter is compared"
    attrs = data.sample_stats.attrs
    ess = min(min(row.ess_bulk, row.ess_tail) for row in rows)
    spent = attrs["gradients_fit"] + attrs["gradients_warmup"]
    z_mean, z_square = z_scores(data, problem)
    seconds = attrs["seconds_fit"] + attrs["seconds_warmup"] + attrs["seconds_sampling"]
    values = (
        name, kernel, seed, attrs["verdict"], attrs["gradients_fit"], attrs["gradients_warmup"],
        attrs["gradients_sampling"], round(ess), round(max(row.r_hat for row in rows), 4),
        round(spent + attrs["gradients_sampling"] * 400 / ess), round(float(data.sample_stats.acceptance_rate.mean()), 3),
        int(data.sample_stats.diverging.sum()), round(z_mean, 2), round(z_square, 2), round(seconds, 2),
    )  # fmt: skip
    return dict(zip(FIELDS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output")
    parser.add_argument("posteriors", nargs="*", default=POSTERIORS)
    options = parser.parse_args()
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    writer.writeheader()
    rows = []
    for name in options.posteriors:
        for kernel in KERNELS:
            for seed in range(options.seeds):
                rows.append(run(name, kernel, seed))
                writer.writerow(rows[-1])
                sys.stdout.flush()
    if options.output:
        with open(options.output, "w", newline="") as file:
            table = csv.DictWriter(file, FIELDS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    print("\nmedian grads@400")
    for name in options.posteriors:
        for kernel in KERNELS:
            found = [row["grads_at_400"] for row in rows if row["posterior"] == name and row["kernel"] == kernel]
            print(f"{name:42s} {kernel:5s} {statistics.median(found):8.0f}")


if __name__ == "__main__":
    main()
