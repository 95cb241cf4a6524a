"""One row of the benchmark: one problem, one method, one seed, in a process of its own.

Run: python -m benchmarks.row --problem arK-arK --method nutpie/low_rank --seed 0 [--timing] [--max-seconds 150]
Prints one JSON object. A method that crashes, runs out of time, does not converge or is wrong gets
`status` "failed" with the reason, and keeps what was known by then. `seconds_counted` are those of the counted
run. With `--timing`, `seconds_cold` and `seconds_warm` are of two runs of the same problem object without the
counter, before the counted one: the first with nothing compiled and no cache on disk, the second with what the
package keeps by itself. Each is split into stages, imports on first use (beyond `seconds_import`), compiling, and
other (conversion, checks), which add up to `all`; `cpu` is over all threads and child processes. The time limit
is for all runs together. PyTensor reads a cache on disk by default, which `benchmarks.run --timing` keeps empty.
"""

import time

_STARTED = time.perf_counter()

import argparse  # noqa: E402
import json
import math
import os
import resource
import subprocess
import sys
import threading
import traceback
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks import runners
from benchmarks.clock import CLOCK
from benchmarks.problems import load
from benchmarks.runners._run import STAGES, PeerError, Run

TARGET_ESS = 400


def main() -> None:
    """Print the row, whatever happens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--max-seconds", type=float, default=600.0)
    parser.add_argument("--posteriordb")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    row = {"problem": options.problem, "method": options.method, "seed": options.seed}
    module, name = runners.runner(options.method)
    watch = _Watch(row, options.max_seconds)
    try:
        row["versions"] = _versions(module.PACKAGES)
        _measure(row, module, name, options, watch)
    except (Exception, KeyboardInterrupt) as error:
        known = isinstance(error, PeerError)
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if known else f" ({Path(last.filename).name}:{last.lineno})"
        text = " ".join(str(error).split())
        row |= watch.spent() | {
            "status": "failed",
            "reason": f"{'' if known else type(error).__name__ + ': '}{text[:300]}{where}",
        }
        if not known:
            traceback.print_exc()
    watch.cancel()
    _emit(row)


class _Watch:
    """Prints a failed row with the gradients spent so far, and ends the process, when time is up."""

    def __init__(self, row: dict, seconds: float):
        self.row, self.seconds, self.counter = row, seconds, None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def spent(self) -> dict:
        """What a failed row still knows."""
        total = self.counter.total if self.counter is not None else 0
        return {"gradients_total": total, "memory_mb": _peak_memory()}

    def cancel(self) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        reason = f"timed out after {self.seconds:.0f} s"
        _emit(self.row | self.spent() | {"status": "failed", "reason": reason})
        os._exit(0)


def _emit(row: dict) -> None:
    print(json.dumps(_plain(row), allow_nan=False), flush=True)


def _plain(value):
    """`value` with NumPy scalars as Python's and what JSON lacks as text."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _measure(row: dict, module, name: str, options, watch: _Watch) -> None:
    """Add to `row` all columns of a method that runs to its end, each once it is known."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    CLOCK.listen()
    CLOCK.watch_imports()
    if getattr(module, "CALLS_PYTHON", False) or getattr(module, "COMPILES_BETWEEN_CHAINS", False):
        # calls from Python then return at once, 13 instead of 55 microseconds for a small density, and nothing
        # runs behind a compilation
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    module.import_package()
    seconds_import = time.perf_counter() - _STARTED

    from benchmarks.counting import Counter
    from benchmarks.flat import flatten

    problem = load(options.problem, options.posteriordb)
    row |= {"dim": problem.dim, "seconds_import": round(seconds_import, 3)}
    if options.timing:
        uncounted = flatten(problem)
        row["load_average"] = round(os.getloadavg()[0], 2)  # others' work slows every second below
        for temperature in ("cold", "warm"):
            row[f"seconds_{temperature}"] = timed(module, uncounted, name, options.seed)[1]
    counter = watch.counter = Counter()
    flat = flatten(problem, counter)
    run, row["seconds_counted"] = timed(module, flat, name, options.seed)
    counted = sum(run.gradients.values()) if getattr(module, "COUNTED_BY_ENGINE", False) else counter.total
    row |= _judged(run, flat, counted) | {"memory_mb": _peak_memory()}


def timed(module, flat, name: str, seed: int) -> tuple[Run, dict[str, float]]:
    """A run and its seconds: parts that add up to `all`, and those of the processors."""
    compiling, preparing = CLOCK.compiling(), CLOCK.preparing()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    run = module.run(flat, name, seed)
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    compiling, preparing = CLOCK.compiling() - compiling, CLOCK.preparing() - preparing
    parts = {"import": preparing - compiling, "compile": compiling, **run.seconds}
    seconds = parts | {"other": wall - sum(parts.values()), "all": wall, "cpu": cpu}
    return run, {key: round(value, 3) for key, value in seconds.items()}


def _cpu_seconds() -> float:
    """Processor seconds of this process with all threads, and of its finished children."""
    return sum(os.times()[:4])


def _judged(run: Run, flat, counted: int) -> dict:
    """Gradients, ESS, errors and the verdict of a run."""
    from benchmarks import truth

    scalars = truth.named_scalars(flat, run)
    finite = all(np.all(np.isfinite(values)) for values in scalars.values())
    row = {f"gradients_{stage}": run.gradients[stage] for stage in STAGES}
    total = sum(run.gradients.values())
    row |= {
        "gradients_total": total, "idle_lanes": run.idle_lanes, "gradients_counted": counted,
        "gradients_reported": run.reported, "divergences": run.divergences, "num_scalars": len(scalars),
        "details": run.details,
    }  # fmt: skip
    if not finite:
        return row | {"status": "failed", "reason": "draws that are not finite"}
    row |= truth.diagnose(scalars) | truth.errors(scalars, flat.problem.reference)
    ess = min(row["ess_bulk"], row["ess_tail"])
    spent = total - row["gradients_sampling"]
    row["grads_at_400"] = round(spent + row["gradients_sampling"] * TARGET_ESS / ess) if ess > 0 else math.inf
    reasons = []
    if not row["r_hat"] < truth.R_HAT_LIMIT:
        reasons.append(f"R-hat {row['r_hat']:.3f}")
    if not ess >= truth.ESS_LIMIT:
        reasons.append(f"ESS {ess:.0f}")
    if row["within"] is False:
        reasons.append(f"wrong: {row['worst']} is off by {row['error_z']:.1f} standard errors (limit {row['z_limit']})")
    if total + run.idle_lanes != counted:
        reasons.append(f"its stages and idle lanes add up to {total + run.idle_lanes} gradients, but {counted} ran")
    return row | {"status": "failed" if reasons else "ok", "reason": "; ".join(reasons)}


def _peak_memory() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # KiB on Linux


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            raise PeerError(f"the package {package} is not installed: pip install {package}") from None
    if "monochord" in packages:
        folder = Path(__file__).parent
        asked = ("git", "describe", "--always", "--dirty", "--abbrev=10")
        found["commit"] = subprocess.run(asked, cwd=folder, capture_output=True, text=True).stdout.strip()
    return found


if __name__ == "__main__":
    main()
