"""Leapfrogs a draw of other programs' NUTS under exported metrics, beside ours at the same step size and theirs without one.

The target is that of `benchmarks/receiving.py`. Without a metric the step size is smaller by the smallest standard deviation, so
that the acceptance is the same, and trees end at 1,023 leapfrogs. nutpie cannot be held at the identity and adapts its
step size: its row without ours is its own diagonal adaptation.
Run: python -m benchmarks.exports
"""

import csv
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

OUTPUT = Path(__file__).parent / "results" / "exports.csv"
DRAWS, FEW, SEED = 1000, 10, 1


def rows():
    import monochord as mc
    from benchmarks import receiving

    fit = mc.fit(receiving.target(), seed=0)
    starts, identity = receiving.starts(fit), receiving.with_identity(fit)
    for name, run in receiving.RECEIVERS.items():
        if not receiving.is_here(name):
            print(f"{name} is not here", flush=True)
            continue
        here = run(fit, DRAWS, SEED)
        own = receiving.ours(fit, DRAWS, SEED, here.step_size)
        if name in receiving.TAKES_IDENTITY:
            kind, step = "identity", here.step_size * receiving.SMALLEST
            without = run(identity, FEW, SEED, step_size=step, initial=starts)
        else:
            kind, without = "its own diagonal", run(identity, DRAWS, SEED, initial=starts)
        yield {
            "receiver": name, "version": version("cmdstanpy" if name == "cmdstan" else name), "dim": receiving.DIM, "verdict": fit.verdict,
            "step_size": round(here.step_size, 4), "leapfrogs": round(here.leapfrogs, 3), "leapfrogs_ours": round(own.leapfrogs, 3),
            "ratio_to_ours": round(here.leapfrogs / own.leapfrogs, 3), "without": kind, "step_size_without": f"{without.step_size:.4g}",
            "leapfrogs_without": round(without.leapfrogs, 1), "share_of_without": round(here.leapfrogs / without.leapfrogs, 5),
            "worst_mean_in_sds": round(_worst(here), 3), "draws": DRAWS, "chains": len(starts), "seed": SEED,
            "monochord": version("monochord"), "jax": jax.__version__,
        }  # fmt: skip


def _worst(run) -> float:
    from benchmarks.receiving import MEAN, WHITENER

    return float(np.abs(np.einsum("ij,cnj->i", WHITENER, run.draws - MEAN) / run.draws[..., 0].size).max())


def main():
    jax.config.update("jax_enable_x64", True)
    found = []
    for row in rows():
        print(row, flush=True)
        found.append(row)
    with open(OUTPUT, "w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()
