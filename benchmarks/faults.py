"""A fit that is wrong and a run that is not: cost with an injected fault against a run without any fit.

Run: python -m benchmarks.faults [--seeds 10] [--output benchmarks/results/faults.csv]
Each fault is put into the fitted Gaussian while verdict and evidence stay those of the good fit, as in a fit of other
data. A row a fault, problem, kernel of hand-over and seed: gradients of everything times 400 over the ESS (smallest of
bulk and tail, 4 x 1000 draws), for the faulty fit and for `fit=False`, the identity start that learns. `handed` says
how the fault comes in: "claimed" keeps the good fit's evidence, "believed" has the evidence of the faulty Gaussian
itself beside the word "start only".
"""

import argparse
import csv
import dataclasses
import statistics
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks.problems import load  # noqa: E402

PROBLEMS = {"condition": "logistic_25", "mean": "logistic_25", "scale": "logistic_25", "funnel": "funnel_10"}
FIELDS = ("fault", "handed", "problem", "seed", "grads_at_400", "grads_at_400_no_fit", "r_hat", "r_hat_no_fit", "verdict", "kernel")  # fmt: skip
DRAWS = 1000


def broken(fault: str, gaussian: mc.Gaussian, rng: np.random.Generator) -> mc.Gaussian:
    """The Gaussian with a fault: κ(M⁻¹H) = 10⁶, a mean 50 sd away, one scale 10⁴ too small, or none (the funnel's own)."""
    metric, dim = gaussian.metric, gaussian.dim
    if fault == "condition":
        turned = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        root = np.asarray(metric.unwhiten((turned * np.geomspace(1e-1, 1e2, dim)).T)).T
        return mc.Gaussian(gaussian.mean, mc.DenseMetric.from_covariance(_symmetric(root @ root.T)))
    if fault == "mean":
        direction = rng.standard_normal(dim)
        return mc.Gaussian(
            gaussian.mean + 50.0 * np.asarray(metric.unwhiten(direction / np.linalg.norm(direction))), metric
        )
    if fault == "scale":
        shrink = np.ones(dim)
        shrink[int(rng.integers(dim))] = 1e-4
        covariance = np.asarray(metric.dense()) * np.outer(shrink, shrink)
        return mc.Gaussian(gaussian.mean, mc.DenseMetric.from_covariance(_symmetric(covariance)))
    return gaussian


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def injected(target, fault: str, handed: str, seed: int) -> mc.FitResult:
    """A fit result that carries the fault."""
    good = mc.fit(target, seed=seed, progress=False)
    assert good.gaussian is not None
    bad = broken(fault, good.gaussian, np.random.default_rng(seed))
    if handed == "claimed":
        verdict = dataclasses.replace(good.judgement, name="trust")
        return dataclasses.replace(good, gaussian=bad, judgement=verdict)
    measured = mc.fit(target, seed=seed, algorithm=mc.Given(bad), progress=False)
    verdict = dataclasses.replace(measured.judgement, name="start only")
    return dataclasses.replace(measured, judgement=verdict, cost=good.cost)


def cost(data) -> tuple[float, float]:
    """grads@400 and the largest R-hat of a run."""
    rows = mc.summary(data)
    attrs = data.sample_stats.attrs
    begun = int(attrs["gradients_fit"]) + int(attrs["gradients_warmup"])
    ess = min(min(row.ess_bulk, row.ess_tail) for row in rows)
    return begun + int(attrs["gradients_sampling"]) * 400.0 / ess, max(row.r_hat for row in rows)


def main() -> None:
    """Print and write the rows, then geometric means of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--faults", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "faults.csv")
    options = parser.parse_args()
    rows, plain = [], {}
    for fault in options.faults:
        problem = load(PROBLEMS[fault])
        target = mc.target(problem.log_density, init=problem.init, data=problem.data)
        for handed in ("claimed", "believed"):
            for seed in range(options.seeds):
                if (problem.name, seed) not in plain:
                    plain[problem.name, seed] = cost(
                        mc.sample(target, fit=False, seed=seed, draws=DRAWS, progress=False)
                    )
                fit = injected(target, fault, handed, seed)
                data = mc.sample(target, fit=fit, seed=seed, draws=DRAWS, progress=False)
                values = (*cost(data), *plain[problem.name, seed])
                row = (
                    fault, handed, problem.name, seed, round(values[0]), round(values[2]), round(values[1], 4),
                    round(values[3], 4), data.sample_stats.attrs["fit_verdict"], data.sample_stats.attrs["kernel"],
                )  # fmt: skip
                rows.append(dict(zip(FIELDS, row, strict=True)))
                print(*row, flush=True)
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    for key in dict.fromkeys((row["fault"], row["handed"]) for row in rows):
        mine = [row for row in rows if (row["fault"], row["handed"]) == key]
        ratio = statistics.geometric_mean(row["grads_at_400"] / row["grads_at_400_no_fit"] for row in mine)
        print(f"{key[0]:10s} {key[1]:9s} against no fit, geometric mean of {len(mine)}: {ratio:.2f} (at most 1.3)")


if __name__ == "__main__":
    main()
