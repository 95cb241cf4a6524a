"""What a gradient costs inside the sampler: wall time per leapfrog against the bare, jitted, vectorised gradient.

Run: python -m benchmarks.speed [--output benchmarks/results/speed.csv]
A row a problem and kernel, under the fitted metric and step size. `bare_us`: one gradient of `jit(vmap(value_and_grad))`
over the 4 chains' points. `us_a_leapfrog`: wall time of 4 chains in threads over all their leapfrogs, the fastest of three
runs on either side, taken in turns so that other work on the machine hits both. `ratio` is between the two.
`seconds_compile` is the first call less a later one. `progress_share` is the share of sampling's wall time that reports of
progress and looks at ESS and R-hat take, with a live terminal line. `idle_lanes` is the share of leapfrogs that a vectorised program would
have wasted on chains waiting for the deepest tree among them, which threads do not.
"""

import argparse
import contextlib
import csv
import io
import os
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks.problems import Problem, load  # noqa: E402
from monochord.progress import TerminalReporter  # noqa: E402
from monochord.sampling._enough import Monitor  # noqa: E402

PROBLEMS = ("diamonds-diamonds", "hudson_lynx_hare-lotka_volterra", "irt_163", "sv_503")
FIELDS = (
    "problem", "dim", "kernel", "metric", "bare_us", "us_a_leapfrog", "ratio", "leapfrogs_a_draw", "idle_lanes",
    "seconds_compile", "progress_share", "load_average",
)  # fmt: skip
ROUNDS = 3
DRAWS = 1000
CHAINS = 4


def bare_seconds(target, points: np.ndarray) -> float:
    """One gradient of the vectorised density, from calls of at least 0.2 seconds together."""
    gradient = jax.jit(lambda target, x: jax.vmap(jax.value_and_grad(target.log_density))(x))
    jax.block_until_ready(gradient(target, points))
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.2:
        jax.block_until_ready(gradient(target, points))
        calls += 1
    return (time.perf_counter() - started) / (calls * len(points))


class _TimedReporter(TerminalReporter):
    """A live line that nobody sees, with a clock on its reports."""

    def __init__(self):
        super().__init__(is_live=True)
        self.seconds = 0.0

    def sampling(self, info) -> None:
        started = time.perf_counter()
        super().sampling(info)
        self.seconds += time.perf_counter() - started


def progress_share(target, options: dict) -> float:
    """Seconds of reports and looks over those of sampling, in a run long enough for a person to watch."""
    looked, original = [0.0], Monitor.look

    def timed_look(monitor, segments):
        started = time.perf_counter()
        try:
            return original(monitor, segments)
        finally:
            looked[0] += time.perf_counter() - started

    Monitor.look = timed_look
    shown = _TimedReporter()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            data = mc.sample(target, **(options | {"progress": shown, "draws": 10 * DRAWS}))
    finally:
        Monitor.look = original
    return (shown.seconds + looked[0]) / data.sample_stats.attrs["seconds_sampling"]


def rows_of(problem: Problem):
    """Rows of both kernels."""
    target = mc.target(problem.log_density, init=problem.init, data=problem.data)
    fit = mc.fit(target, seed=0, progress=False)
    for kernel in ("hmc", "nuts"):
        options = {
            "fit": fit,
            "kernel": kernel,
            "metric": fit.gaussian.metric,
            "draws": DRAWS,
            "seed": 1,
            "progress": False,
        }
        started = time.perf_counter()
        data = mc.sample(target, **options)
        first = time.perf_counter() - started
        points = data.unconstrained_posterior["x"].values[:, -1]
        bare, ours, later = [], [], []
        for _ in range(ROUNDS):
            bare.append(bare_seconds(target, points))
            started = time.perf_counter()
            data = mc.sample(target, **options)
            later.append(time.perf_counter() - started)
            attrs = data.sample_stats.attrs
            ours.append(attrs["seconds_sampling"] / attrs["gradients_sampling"])
        steps = data.sample_stats["n_steps"].values
        values = (
            problem.name, problem.dim, kernel, type(fit.gaussian.metric).__name__, round(1e6 * min(bare), 1),
            round(1e6 * min(ours), 1), round(min(ours) / min(bare), 2), round(float(steps.mean()), 1),
            round(1.0 - steps.sum() / (CHAINS * steps.max(0).sum()), 2), round(first - min(later), 2),
            round(progress_share(target, options), 4), round(os.getloadavg()[0], 1),
        )  # fmt: skip
        yield dict(zip(FIELDS, values, strict=True))


def main() -> None:
    """Print and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "speed.csv")
    options = parser.parse_args()
    rows = []
    for name in options.problems:
        for row in rows_of(load(name)):
            rows.append(row)
            print(*row.values(), flush=True)
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
