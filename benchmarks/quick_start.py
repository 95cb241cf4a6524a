"""Whole-process wall time of `monochord sample` on eight schools against a bare BlackJAX script.

Cold: an empty compile cache for both. Warm: the cache filled by a run before; the bare script has no cache of
its own, so it is timed without one and, to be fair, once more with JAX's cache switched on by environment.
Rounds alternate, and ratios are of medians within this run, since machines are noisy.

Run: python -m benchmarks.quick_start [--rounds 5] [--output benchmarks/results/quick_start.csv]
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL, DATA = ROOT / "examples/eight_schools.py", ROOT / "examples/eight_schools.json"


def seconds(command: list[str], **environment: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment}, cwd=ROOT)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours_cache, bare_cache = f"{folder}/ours", f"{folder}/bare"
        ours = [
            sys.executable, "-m", "monochord", "sample", str(MODEL), "--data", str(DATA), "--seed", "0",
            "--output", f"{folder}/out.nc", "--force", "--no-progress",
        ]  # fmt: skip
        bare = [sys.executable, str(ROOT / "benchmarks/bare_blackjax.py"), str(MODEL), str(DATA), f"{folder}/out.npz"]
        cached = {
            "JAX_COMPILATION_CACHE_DIR": bare_cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        seconds(bare, **cached)
        rows = []
        for round_ in range(options.rounds):
            shutil.rmtree(ours_cache, ignore_errors=True)
            times = {
                "bare": seconds(bare),
                "ours_cold": seconds(ours, MONOCHORD_COMPILE_CACHE=ours_cache),
                "bare_with_cache": seconds(bare, **cached),
                "ours_warm": seconds(ours, MONOCHORD_COMPILE_CACHE=ours_cache),
                "help": seconds([sys.executable, "-m", "monochord", "--help"]),
            }
            rows.append({"round": round_, **{name: round(value, 2) for name, value in times.items()}})
            print(rows[-1], flush=True)
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0] if name != "round"}
    print("medians", {name: round(value, 2) for name, value in median.items()})
    print(f"cold / bare             {median['ours_cold'] / median['bare']:.2f}  (at most 1.2)")
    print(f"warm / bare             {median['ours_warm'] / median['bare']:.2f}  (at most 0.9)")
    print(f"warm / bare with cache  {median['ours_warm'] / median['bare_with_cache']:.2f}")
    if options.output:
        with open(options.output, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
