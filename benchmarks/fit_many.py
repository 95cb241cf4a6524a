"""Many data sets of one shape: seconds a fit and programs compiled, by number of data sets.

Run: python -m benchmarks.fit_many [--datasets 200] [--output FILE]
Writes one row a model and stretch of data sets. `overhead_milliseconds` is a fit's median time less that of its gradients
alone, which are timed in the same batches.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
COLUMNS = (
    "model", "dim", "first", "last", "programs_compiled", "median_seconds", "worst_seconds", "median_gradients",
    "overhead_milliseconds", "trusted",
)  # fmt: skip


def regression(params, x, y):
    """Linear regression with unequal scales and an unknown error."""
    import jax.numpy as jnp

    residuals = (y - x @ params["beta"]) * jnp.exp(-params["log_sigma"])
    return -0.5 * jnp.sum(residuals**2) - y.size * params["log_sigma"] - 0.5 * jnp.sum(params["beta"] ** 2)


def logistic(params, x, y):
    """Logistic regression."""
    import jax.numpy as jnp

    logits = x @ params["beta"]
    return jnp.sum(y * logits - jnp.logaddexp(0.0, logits)) - 0.125 * jnp.sum(params["beta"] ** 2)


def regression_data(seed: int) -> dict:
    """200 observations, columns with deviations .1 to 10."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((200, 5)) * np.geomspace(0.1, 10.0, 5)
    return {"x": x, "y": x @ rng.standard_normal(5) + rng.standard_normal(200)}


def logistic_data(seed: int) -> dict:
    """500 observations of 20 columns."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((500, 20))
    return {"x": x, "y": (rng.random(500) < 1 / (1 + np.exp(-x @ (0.5 * rng.standard_normal(20))))).astype(float)}


MODELS = {
    "regression": (regression, regression_data, {"beta": np.zeros(5), "log_sigma": np.zeros(())}),
    "logistic": (logistic, logistic_data, {"beta": np.zeros(20)}),
}


def rows_of(name: str, datasets: int) -> list[dict]:
    """Rows for the first data set, and for all others."""
    import monochord as mc
    from monochord import timing

    model, data, init = MODELS[name]
    timing.listen()
    rows = []
    for first, last in ((0, 1), (1, datasets)):
        before = timing.num_compiled()
        fits = mc.fit_many(model, [data(seed) for seed in range(first, last)], seed=1, init=init)
        seconds = [fit.seconds for fit in fits]
        gradients = float(np.median([fit.cost.gradients for fit in fits]))
        target = mc.target(model, data=data(0), init=init)
        bare = gradients * _seconds_a_gradient(target)
        rows.append(
            {
                "model": name, "dim": target.dim, "first": first, "last": last - 1,
                "programs_compiled": timing.num_compiled() - before, "median_seconds": round(float(np.median(seconds)), 4),
                "worst_seconds": round(max(seconds), 4), "median_gradients": int(gradients),
                "overhead_milliseconds": round(1e3 * (float(np.median(seconds)) - bare), 1),
                "trusted": sum(fit.verdict == "trust" for fit in fits),
            }
        )  # fmt: skip
    return rows


def _seconds_a_gradient(target, batches: int = 50, size: int = 32) -> float:
    from monochord.targets import evaluate

    x = np.random.default_rng(0).uniform(-1.0, 1.0, (size, target.dim))
    evaluate(target, x)
    started = time.perf_counter()
    for _ in range(batches):
        evaluate(target, x)
    return (time.perf_counter() - started) / (batches * size)


def main() -> None:
    """Write the rows and print them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--output", type=Path, default=FOLDER / "results" / "fit_many.csv")
    options = parser.parse_args()
    rows = [row for name in MODELS for row in rows_of(name, options.datasets)]
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(options.output.read_text(), end="")


if __name__ == "__main__":
    main()
