"""Every fit on every problem: verdicts, ELBOs and gradients, many seeds of the default and a few of every other.

Run: python -m benchmarks.fits [--seeds 20] [--others 3] [--problems NAME …] [--algorithms NAME …] [--output FILE]
One row a problem, algorithm and seed, appended as it is made; a row already there is not made again. A problem runs in
one process, so that only its first row compiles. `--summary` prints what the rows say and makes none.
"""

import argparse
import json
import math
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
DEFAULT = "default"
# The families each algorithm was published with.
ALGORITHMS = {
    "staged/diagonal": ("Staged", "Diagonal"), "staged/dense": ("Staged", "Dense"),
    "batch_match/dense": ("BatchMatch", "Dense"), "batch_match/low_rank": ("BatchMatch", "LowRank"),
    "advi/diagonal": ("Advi", "Diagonal"), "advi/dense": ("Advi", "Dense"),
    "deterministic/diagonal": ("DeterministicAdvi", "Diagonal"), "deterministic/dense": ("DeterministicAdvi", "Dense"),
    "pathfinder/dense": ("Pathfinder", "Dense"), "laplace/dense": ("Laplace", "Dense"),
    "natural/diagonal": ("NaturalGradient", "Diagonal"), "natural/dense": ("NaturalGradient", "Dense"),
}  # fmt: skip
LARGE = 1000  # above it dense fits are not asked for
NEAR_GAUSSIAN = (
    "arK-arK", "kidiq-kidscore_momhsiq", "kidiq-kidscore_interaction", "earnings-logearn_interaction",
    "mesquite-logmesquite_logvash", "nes2000-nes", "sblrc-blr", "diamonds-diamonds", "logistic_25", "regression_unscaled",
    "gauss_100", "gauss_100_1e8", "ill_cond_50", "scales_1e12",
)  # fmt: skip


def algorithm_of(name: str):
    """The algorithm of a row; None is what `mc.fit` does by itself."""
    from monochord import fits, metrics

    if name == DEFAULT:
        return None
    algorithm, family = ALGORITHMS[name]
    return getattr(fits, algorithm)(family=getattr(metrics, family)())


def row_of(target, problem, name: str, seed: int) -> dict:
    """One fit as a row; a crash is a row that says so."""
    import monochord as mc

    row = {"problem": problem.name, "dim": problem.dim, "algorithm": name, "seed": seed, "wanted": problem.verdict}
    started = time.perf_counter()
    try:
        fit = mc.fit(target, seed=seed, algorithm=algorithm_of(name), progress=False)
    except Exception as error:  # a crash must become a row
        traceback.print_exc()
        return row | {"crash": f"{type(error).__name__}: {error}"[:300]}
    row |= {
        "verdict": fit.verdict, "status": fit.status.name, "gradients": fit.cost.gradients,
        "seconds": round(time.perf_counter() - started, 2), "reasons": list(fit.reasons),
        **{key: _pair(value) for key, value in (("elbo", fit.elbo), ("residual", fit.score_residual), ("k", fit.pareto_k))},
        "metric": type(fit.gaussian.metric).__name__ if fit.gaussian is not None else None,
        "rank": getattr(fit.gaussian.metric, "rank", None) if fit.gaussian is not None else None,
        "worst": None if fit.worst_coordinate is None else [fit.worst_coordinate[0], *_pair(fit.worst_coordinate[1])],
        "indefinite": None if fit.indefinite_share is None else fit.indefinite_share.value,
        "gain": None if fit.gain_over_identity is None else float(f"{fit.gain_over_identity.value:.3g}"),
        "radial": None if fit.radial_spread is None else round(fit.radial_spread.value, 3),
        "modes": len(fit.modes), "finite": _is_finite(fit),
    }  # fmt: skip
    if not problem.verdict or fit.verdict in problem.verdict:
        del row["reasons"]  # read only where the verdict is not the wanted one
    kappa = _true_kappa(problem, fit)
    return row | ({"kappa": kappa} if kappa is not None else {})


def _pair(estimate) -> list | None:
    return None if estimate is None else [_number(estimate.value), _number(estimate.standard_error)]


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _is_finite(fit) -> bool:
    if fit.gaussian is None:
        return False
    parts = (fit.gaussian.mean, fit.gaussian.metric.diagonal(), fit.gaussian.metric.log_det())
    return bool(all(np.all(np.isfinite(part)) for part in parts))


def _true_kappa(problem, fit) -> float | None:
    """κ(M⁻¹H) at the fit's mean where the target is a Gaussian of moderate size."""
    if problem.name not in ("gauss_100", "gauss_100_1e8", "ill_cond_50", "scales_1e12") or fit.gaussian is None:
        return None
    import monochord as mc

    return float(f"{mc.spectrum(_TARGET[0], fit.gaussian, at='mean')['fitted'].kappa.value:.5g}")


_TARGET: list = [None]


def run_problem(options) -> None:
    """All missing rows of one problem, in this process."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import monochord as mc
    from benchmarks.problems import load

    problem = load(options.one, options.posteriordb)
    _TARGET[0] = target = mc.target(problem.log_density, init=problem.init, data=problem.data)
    made = {(row["problem"], row["algorithm"], row["seed"]) for row in read(options.output)}
    names = [name for name in options.algorithms if not (problem.dim > LARGE and name != DEFAULT)]
    wanted = [(name, seed) for name in names for seed in range(options.seeds if name == DEFAULT else options.others)]
    for name, seed in wanted:
        if (problem.name, name, seed) in made:
            continue
        row = row_of(target, problem, name, seed)
        with options.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        elbo = row.get("elbo")
        print(
            f"{problem.name:40.40s} {name:22s} {seed:2d} {row.get('verdict', 'CRASH'):10s} {row.get('gradients', 0):7d} "
            f"elbo {elbo and elbo[0]} residual {row.get('residual')} k {row.get('k')} {row.get('status')} {row.get('seconds')} s",
            flush=True,
        )


def read(path: Path) -> list[dict]:
    """Rows of a file, none where there is none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Make the missing rows, problem by problem, then the summary."""
    from benchmarks import problems

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--others", type=int, default=3)
    parser.add_argument("--problems", nargs="*")
    parser.add_argument("--algorithms", nargs="*", default=[DEFAULT, *ALGORITHMS])
    parser.add_argument("--output", type=Path, default=FOLDER / "results" / "fits.jsonl")
    parser.add_argument("--posteriordb")
    parser.add_argument("--max-seconds", type=float, default=1800.0, help="of one problem")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_problem(options)
        return
    if not options.summary:
        for name in options.problems or problems.names():
            command = [sys.executable, "-m", "benchmarks.fits", "--one", name, *sys.argv[1:]]
            try:
                subprocess.run(command, cwd=FOLDER.parent, timeout=options.max_seconds, check=False)
            except subprocess.TimeoutExpired:
                print(f"{name}: stopped after {options.max_seconds:.0f} s; the rows made so far are kept", flush=True)
    summary(read(options.output))


def summary(rows: list[dict]) -> None:
    """For each problem: verdicts against the wanted one, gradients, and the ELBO against the best of all rows."""
    best: dict[tuple, float] = {}
    for row in rows:
        if row.get("elbo") and row["elbo"][0] is not None and row["elbo"][1] is not None and row["elbo"][1] < 1:
            key = (row["problem"], row["metric"])
            best[key] = max(best.get(key, -math.inf), row["elbo"][0] - 2 * row["elbo"][1])
    keys = list(dict.fromkeys((row["problem"], row["algorithm"]) for row in rows))
    print(
        f"{'problem':38s} {'algorithm':21s} seeds crash bad | trust start refuse (wanted)            | gradients median, worst | "
        "short of best ELBO: median, share within .5"
    )
    for problem, algorithm in keys:
        mine = [row for row in rows if (row["problem"], row["algorithm"]) == (problem, algorithm)]
        done = [row for row in mine if "crash" not in row]
        counts = [sum(row["verdict"] == v for row in done) for v in ("trust", "start only", "do not use")]
        spent = [row["gradients"] for row in done] or [0]
        short = [
            best[problem, row["metric"]] - row["elbo"][0] - 2 * row["elbo"][1]
            for row in done
            if row["elbo"] and None not in row["elbo"] and (problem, row["metric"]) in best
        ] or [math.nan]
        kappas = [row["kappa"] for row in done if "kappa" in row]
        print(
            f"{problem:38.38s} {algorithm:21s} {len(mine):5d} {len(mine) - len(done):5d} {sum(not r['finite'] for r in done):3d} | "
            f"{counts[0]:5d} {counts[1]:5d} {counts[2]:6d} ({mine[0]['wanted'] or '-'!s:20.20s}) | {np.median(spent):8.0f} {max(spent):8d} | "
            f"{np.median(short):8.2f} {np.mean([value <= 0.5 for value in short]):.2f}"
            + (f" | kappa median {np.median(kappas):.3g}, worst {max(kappas):.3g}" if kappas else "")
        )


if __name__ == "__main__":
    main()
