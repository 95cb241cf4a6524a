"""What the spectrum predicts against what the samplers do: acceptance, and gradients per effective draw.

Run: python -m benchmarks.prediction [--problems NAME …] [--draws 2000] [--output benchmarks/results/prediction.csv]
One row a problem, metric and kernel. The step size is the spectrum's closed form for an acceptance of .8 and is not
adapted; `predicted` and `measured` are gradients per effective draw of x (bulk ESS of the worst among the unconstrained
coordinates and the eigen-directions of the spectrum, which is what the prediction is for), `_square` of (x − mean)². The
`spread` problems are Gaussians with known spectra.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from benchmarks.problems import load

FEW = {f"{kind}_{dim}": (kind, dim) for kind in ("few_equal", "few_slow", "few_fast") for dim in (4, 8)}
REAL = (
    "logistic_25",
    "glmm_57",
    "regression_unscaled",
    "arK-arK",
    "nes2000-nes",
    "kidiq-kidscore_interaction",
    "eight_schools-eight_schools_noncentered",
)
SPREADS = {
    "whitened_4": np.ones(4), "whitened_50": np.ones(50), "whitened_250": np.ones(250),
    "one_slow_4": np.r_[0.5, np.ones(49)], "one_slow_16": np.r_[0.25, np.ones(49)], "one_slow_64": np.r_[0.125, np.ones(49)],
    "one_fast_16": np.r_[np.ones(49), 4.0], "one_fast_256": np.r_[np.ones(49), 16.0],
    "log_uniform_16": np.geomspace(1, 4, 50), "log_uniform_256": np.geomspace(1, 16, 50),
    "two_clusters_16": np.r_[np.full(25, 0.25), np.ones(25)],
}  # fmt: skip
SPREADS |= {
    name: np.r_[{"few_equal": 1.0, "few_slow": 0.25, "few_fast": 4.0}[kind], np.ones(dim - 1)]
    for name, (kind, dim) in FEW.items()
}
COLUMNS = (
    "problem", "dim", "metric", "kernel", "verdict", "wanted_acceptance", "acceptance", "predicted", "measured", "ratio",
    "predicted_square", "measured_square",
)  # fmt: skip


def case(name: str):
    """(target, fit, metric rows wanted) of a problem; spreads are judged under the identity."""
    import monochord as mc
    from monochord.testing import gaussian_target

    if name in SPREADS:
        omega = SPREADS[name]
        target = gaussian_target(np.zeros(omega.size), np.diag(omega**-2.0))
        return target, ("identity",)
    problem = load(name)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data)
    return target, ("fitted", "diagonal")


def rows_of(name: str, draws: int, kernels=("hmc", "nuts"), seed: int = 0):
    """Rows of one problem."""
    import monochord as mc

    target, wanted = case(name)
    fit = mc.fit(target, seed=seed, progress=False)
    figures = mc.spectrum(target, fit, seed=seed)
    metrics = {
        "identity": mc.identity_metric(target.dim), "fitted": fit.gaussian.metric,
        "diagonal": mc.DiagonalMetric(np.sqrt(np.asarray(fit.gaussian.metric.diagonal()))),
    }  # fmt: skip
    if "diagonal" in wanted:
        figures = mc.spectrum(target, fit, seed=seed, metrics={"diagonal": metrics["diagonal"]})
    for metric in wanted:
        for kernel in kernels:
            yield _row(name, target, fit, figures[metric], metrics[metric], kernel, draws, seed)


def _row(name, target, fit, row, metric, kernel, draws, seed) -> dict:
    import monochord as mc
    from monochord.spectra import Modes, nuts_cost

    modes = Modes(row.squared_frequencies, row.mode_weights)
    nuts = nuts_cost(modes, 0.8)
    step = row.step_size.value if kernel == "hmc" else nuts.step_size
    data = mc.sample(
        target, fit=fit, metric=metric, kernel=kernel, step_size=step, draws=draws, seed=seed, progress=False
    )
    x = np.asarray(data["unconstrained_posterior"]["x"].values)
    x = np.concatenate([x, along_modes(metric, fit.gaussian.metric, x)], axis=2)
    gradients = data.sample_stats.attrs["gradients_sampling"]
    measured, square = (gradients / smallest_bulk_ess(part) for part in (x, (x - x.mean((0, 1))) ** 2))
    predicted = row.gradients_per_effective_draw.value if kernel == "hmc" else nuts.draw
    return {
        "problem": name, "dim": target.dim, "metric": row.metric, "kernel": kernel, "verdict": fit.verdict, "wanted_acceptance": 0.8,
        "acceptance": round(float(data.sample_stats.acceptance_rate.mean()), 3),
        "predicted": round(predicted, 2), "measured": round(measured, 2), "ratio": round(predicted / measured, 3),
        "predicted_square": round(row.gradients_per_effective_square.value if kernel == "hmc" else nuts.square, 2),
        "measured_square": round(square, 2),
    }  # fmt: skip


def along_modes(metric, fitted, x: np.ndarray) -> np.ndarray:
    """Draws (chains, draws, dim) along the eigen-directions of the fitted covariance as `metric` sees it."""
    half = np.asarray(metric.whiten(np.asarray(fitted.unwhiten(np.eye(metric.dim)))))
    return np.asarray(metric.whiten(x)) @ np.linalg.eigh(half.T @ half)[1]


def smallest_bulk_ess(x: np.ndarray) -> float:
    """Smallest bulk ESS over the coordinates of draws (chains, draws, dim)."""
    from monochord.mixing import bulk_ess

    return float(np.min(bulk_ess(x)))


def summary(rows: list[dict]) -> str:
    """Markdown: the range of acceptance and of predicted over measured, by kernel and by whether it is to be believed."""
    from monochord.spectra._cost import MIN_NUTS_MODES

    groups: dict[str, list[dict]] = {}
    for row in rows:
        few = row["kernel"] == "nuts" and int(row["dim"]) < MIN_NUTS_MODES
        kind = f"{row['verdict']}, few coordinates" if few else row["verdict"]
        groups.setdefault(f"{row['kernel']}, {kind}", []).append(row)
    lines = ["| kernel, verdict | rows | acceptance | predicted / measured |", "|---|---|---|---|"]
    for name, group in groups.items():
        accept, ratio = ([float(row[column]) for row in group] for column in ("acceptance", "ratio"))
        spans = f"{min(accept):.2f} to {max(accept):.2f} | {min(ratio):.2f} to {max(ratio):.2f}"
        lines.append(f"| {name} | {len(group)} | {spans} |")
    return "\n".join(lines)


def main() -> None:
    """Print and write the rows, or sum up those of the file."""
    import jax

    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=[*REAL, *SPREADS])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "prediction.csv")
    parser.add_argument("--summary", action="store_true", help="sum up the rows of the file, make none")
    options = parser.parse_args()
    if options.summary:
        with options.output.open() as file:
            print(summary(list(csv.DictReader(file))))
        return
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in options.problems:
            for row in rows_of(name, options.draws):
                writer.writerow(row)
                file.flush()
                csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n").writerow(row)


if __name__ == "__main__":
    main()
