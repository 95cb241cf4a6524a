"""Leapfrogs a draw of other programs' NUTS under exported metrics, beside ours at the same step size and theirs without one.

The target is that of `benchmarks/receiving.py`, and for CmdStan that of `benchmarks/stan_program.py`. Without a metric the step size is smaller by the smallest standard deviation, so
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
    from benchmarks import receiving, stan_program

    fit = mc.fit(receiving.target(), seed=0)
    for name, run in receiving.RECEIVERS.items():
        if not receiving.is_here(name):
            print(f"{name} is not here", flush=True)
            continue
        found = version("cmdstanpy" if name == "cmdstan" else name)
        holds = name in receiving.TAKES_IDENTITY
        yield _row(name, found, receiving, fit, run, receiving.WHITENER, receiving.MEAN, holds)
    if stan_program.program() is None:
        print("CmdStan's compiled program is not here: pip install prophet", flush=True)
        return
    fit = mc.fit(stan_program.target(), seed=0)
    whitener = np.linalg.inv(np.linalg.cholesky(stan_program.COVARIANCE))
    yield _row(
        "cmdstan", stan_program.version(), stan_program, fit, stan_program.run, whitener, stan_program.CENTER, True
    )


def _row(name, found, problem, fit, run, whitener, mean, takes_identity):
    """One receiver on a problem, whose `dim`, smallest standard deviation and own chains are in a module."""
    import monochord as mc
    from benchmarks.receiving import with_metric

    starts = mc.export.to_plain(fit).arrays["initial"]
    identity = with_metric(fit, np.eye(problem.DIM))
    here = run(fit, DRAWS, SEED)
    own = problem.ours(fit, DRAWS, SEED, here.step_size)
    if takes_identity:
        kind, step = "identity", here.step_size * problem.SMALLEST
        without = run(identity, FEW, SEED, step_size=step, initial=starts)
    else:
        kind, without = "its own diagonal", run(identity, DRAWS, SEED, initial=starts)
    gaps = np.einsum("ij,cnj->i", whitener, here.draws[..., : len(mean)] - mean) / here.draws[..., 0].size
    return {
        "receiver": name, "version": found, "dim": problem.DIM, "verdict": fit.verdict,
        "step_size": round(here.step_size, 4), "leapfrogs": round(here.leapfrogs, 3), "leapfrogs_ours": round(own.leapfrogs, 3),
        "ratio_to_ours": round(here.leapfrogs / own.leapfrogs, 3), "without": kind, "step_size_without": f"{without.step_size:.4g}",
        "leapfrogs_without": round(without.leapfrogs, 1), "share_of_without": round(here.leapfrogs / without.leapfrogs, 5),
        "worst_mean_in_sds": round(float(np.abs(gaps).max()), 3), "draws": DRAWS, "chains": len(starts), "seed": SEED,
        "monochord": version("monochord"), "jax": jax.__version__,
    }  # fmt: skip


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
