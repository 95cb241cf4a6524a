"""The spectrum in many dimensions: seconds, memory, and the bounds against the truth.

Run: python -m benchmarks.large_spectrum [--dims 2000 10000 100000] [--output benchmarks/results/large_spectrum.csv]
The target is a Gaussian whose sds run from e⁻² to e² and whose first ten coordinates share one fast direction; the
metric has every sd but a sine of ±35 % on its logarithm, so κ(M⁻¹H) is known. One process a row: memory is its peak.
"""

import argparse
import csv
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

COLUMNS = (
    "dim", "seconds", "process_seconds", "peak_gib", "gradients", "kappa", "kappa_at_least", "kappa_l", "true_kappa",
    "true_kappa_l",
)  # fmt: skip
FAST = 30.0  # weight of the fast direction
WIGGLE = 0.3


def row_of(dim: int) -> dict:
    """One spectrum of one diagonal metric, in this process."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    import monochord as mc

    sd = np.exp(np.linspace(-2, 2, dim))

    def log_density(params, sd):
        z = params["x"] / sd
        return -0.5 * (z**2).sum() - 0.5 * FAST * z[:10].sum() ** 2 / 10

    target = mc.target(log_density, init={"x": jnp.zeros(dim)}, data={"sd": sd})
    scales = np.exp(WIGGLE * np.sin(np.arange(dim)))
    gaussian = mc.Gaussian(np.zeros(dim), mc.DiagonalMetric(sd * scales))
    started, used = time.perf_counter(), time.process_time()
    figures = mc.spectrum(target, gaussian, seed=0)
    seconds, process = time.perf_counter() - started, time.process_time() - used
    row = figures["fitted"]
    head = np.diag(scales[:10] ** 2) + FAST / 10 * np.outer(scales[:10], scales[:10])
    true = np.sort(np.r_[np.linalg.eigvalsh(head), scales[10:] ** 2])
    return {
        "dim": dim, "seconds": round(seconds, 1), "process_seconds": round(process, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2), "gradients": figures.gradients,
        "kappa": round(row.kappa.value, 3), "kappa_at_least": row.is_lower_bound, "kappa_l": round(row.kappa_langmore.value, 2),
        "true_kappa": round(float(true[-1] / true[0]), 3),
        "true_kappa_l": round(float(((true / true[0]) ** 2).sum() ** 0.25), 2),
    }  # fmt: skip


def main() -> None:
    """Print and write a row for each dimension, each made in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="*", default=[2_000, 10_000, 100_000])
    parser.add_argument("--one", type=int, help="make this row here and print it")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "large_spectrum.csv")
    options = parser.parse_args()
    if options.one:
        csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n").writerow(row_of(options.one))
        return
    lines = [",".join(COLUMNS)]
    for dim in options.dims:
        command = [sys.executable, "-m", "benchmarks.large_spectrum", "--one", str(dim)]
        done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
        lines.append(done.stdout.splitlines()[-1])
        print(lines[-1], flush=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
