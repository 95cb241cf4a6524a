"""Rows for many problems and methods, one process at a time, each appended to a file as it arrives.

Run: python -m benchmarks.run --set quick|full [--seeds 1] [--output rows.jsonl] [--max-seconds 150] [--timing]
A row already in the file is not made again, so the same command resumes; failed rows count as made, unless
`--retry` is given, and our own rows of another commit, unless `--stale` is. The last row of a key counts.
`--problems` and `--methods` narrow the set (prefixes).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import problems, runners
from benchmarks.problems._posteriordb import find_folder
from benchmarks.runners import _cmdstan
from benchmarks.schema import faults

FOLDER = Path(__file__).parent
GRACE_SECONDS = 60  # a row ends itself; this is for one that hangs outside Python

QUICK_PROBLEMS = (
    "arK-arK", "kidiq-kidscore_interaction", "earnings-logearn_interaction", "nes2000-nes", "garch-garch11",
    "eight_schools-eight_schools_noncentered", "gp_pois_regr-gp_pois_regr", "diamonds-diamonds",
)  # fmt: skip
OURS = ("monochord/auto/auto", "monochord/auto/nuts", "monochord/auto/hmc")
QUICK_METHODS = (*OURS, "nutpie/low_rank", "nutpie/diagonal")
# A gradient costs more than 50 microseconds, or many are needed: these come last.
SLOW_PROBLEMS = (
    "gauss_100_1e8", "scales_1e12", "gp_pois_regr-gp_pois_regr", "gp_82", "irt_163", "slopes_176", "horseshoe_122",
    "diamonds-diamonds", "hudson_lynx_hare-lotka_volterra", "sv_503", "spikes_10k", "logistic_10k",
)  # fmt: skip
BASELINES = {"cmdstan_diag": "cmdstan/diagonal"}
NOT_STATED = "R-hat and errors are not stated by the source"


def wanted(options) -> list[tuple[str, str, int]]:
    """(problem, method, seed) of the chosen set: fast problems first, then method by method."""
    if options.set == "quick":
        names, methods = QUICK_PROBLEMS, QUICK_METHODS
    else:
        slow = [name for name in SLOW_PROBLEMS if name in problems.names()]
        names = (*(name for name in problems.names() if name not in slow), *slow)
        others = [m for m in runners.methods() if m not in QUICK_METHODS]
        methods = (*QUICK_METHODS, *sorted(others, key=lambda m: m.startswith("monochord")))
    names = [name for name in names if _chosen(name, options.problems)]
    methods = [method for method in methods if _chosen(method, options.methods)]
    return [(name, method, seed) for seed in range(options.seeds) for name in names for method in methods]


def _chosen(name: str, prefixes: list[str] | None) -> bool:
    return not prefixes or any(name.startswith(prefix) for prefix in prefixes)


def read_rows(path: Path) -> list[dict]:
    """Rows of a file, the last of each (problem, method, seed); none where there is no file.

    A published row says what its source does not state, also where its file does not.
    """
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    rows = [{"r_hat": None} | row | {"reason": row["reason"] or NOT_STATED} if "source" in row else row for row in rows]
    return list({key_of(row): row for row in rows}.values())


def drop_half_line(path: Path) -> None:
    """Cut off what a killed run left of its last row, which would spoil the next one."""
    if path.exists():
        text = path.read_bytes()
        path.write_bytes(text[: text.rfind(b"\n") + 1])


def key_of(row: dict) -> tuple[str, str, int]:
    """What identifies a row."""
    return row["problem"], row["method"], row["seed"]


def baseline_rows(folder: Path) -> list[dict]:
    """CmdStan's published costs on the reference posteriors as rows, marked with their source.

    None where CmdStan can be run. The source judges nothing: it states gradients, ESS and divergences alone.
    """
    path = folder / "baselines.json"
    if _cmdstan.is_here() or not path.exists():
        return []
    record = json.loads(path.read_text())
    rows = []
    for name, entries in record["posteriors"].items():
        for program, method in BASELINES.items():
            entry = entries.get(program)
            if entry is None:
                continue
            rows.append(
                {
                    "problem": name, "method": method, "seed": 0, "source": f"baselines.json: {record['programs'][program]}",
                    "gradients_fit": 0, "gradients_warmup": entry["gradients_warmup"],
                    "gradients_sampling": entry["gradients_sampling"],
                    "gradients_total": entry["gradients_warmup"] + entry["gradients_sampling"],
                    "ess_bulk": entry["min_bulk_tail_ess"], "ess_tail": entry["min_bulk_tail_ess"],
                    "divergences": entry["divergences"], "grads_at_400": entry["gradients_to_ess_400"],
                    "r_hat": None, "status": "ok", "reason": NOT_STATED,
                }
            )  # fmt: skip
    return rows


def make_row(name: str, method: str, seed: int, options) -> dict:
    """Run one row in its own process; a crash is a failed row."""
    command = [sys.executable, "-m", "benchmarks.row", "--problem", name, "--method", method, "--seed", str(seed)]
    command += ["--max-seconds", str(options.max_seconds)]
    command += ["--timing"] if options.timing else []
    command += ["--posteriordb", options.posteriordb] if options.posteriordb else []
    row = {"problem": name, "method": method, "seed": seed, "status": "failed"}
    limit = options.max_seconds + GRACE_SECONDS
    try:
        with tempfile.TemporaryDirectory() as cache:
            cold = {"PYTENSOR_FLAGS": f"base_compiledir={cache}"} if options.timing else {}
            done = subprocess.run(
                command, cwd=FOLDER.parent, env=os.environ | cold, capture_output=True, text=True, timeout=limit
            )
    except subprocess.TimeoutExpired:
        return row | {"reason": f"hung: killed after {limit:.0f} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"problem"'):
            row |= json.loads(line)
            found = faults(row)
            return row | {"status": "failed", "reason": f"incomplete row: {'; '.join(found)}"} if found else row
    said = done.stderr.strip().splitlines()
    return row | {"reason": f"crashed with exit code {done.returncode}: {said[-1][:200] if said else ''}"}


def is_stale(row: dict, commit: str) -> bool:
    """Whether a row of ours was made at another commit than `commit`; uncommitted changes are not told apart."""
    made_at = row.get("versions", {}).get("commit", "")
    return row["method"].startswith("monochord/") and made_at.removesuffix("-dirty") != commit


def current_commit() -> str:
    """The commit of this checkout, as rows of ours state it."""
    asked = ("git", "describe", "--always", "--abbrev=10")
    return subprocess.run(asked, cwd=FOLDER, capture_output=True, text=True).stdout.strip()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("quick", "full"), default="quick")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--problems", nargs="*")
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--max-seconds", type=float, default=150.0)
    parser.add_argument(
        "--stop-after", type=float, default=float("inf"), help="start no further row after these seconds"
    )
    parser.add_argument("--timing", action="store_true", help="time each method without the counter, cold and warm")
    parser.add_argument("--retry", action="store_true", help="make failed rows again")
    parser.add_argument("--stale", action="store_true", help="make our rows of other commits again")
    parser.add_argument("--posteriordb", help="folder of the reference posteriors")
    return parser.parse_args()


def main() -> None:
    """Append the missing rows, then print the table of the set."""
    options = parse()
    path = options.output or FOLDER / "results" / f"{options.set}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_half_line(path)
    commit = current_commit() if options.stale else None
    made = {
        key_of(row)
        for row in read_rows(path)
        if not (options.retry and row["status"] == "failed") and not (commit and is_stale(row, commit))
    }
    todo = [key for key in wanted(options) if key not in made]
    started = time.perf_counter()
    with path.open("a") as file:
        names = {key[0] for key in wanted(options)}
        for row in baseline_rows(find_folder(options.posteriordb)):
            asked = row["problem"] in names and _chosen(row["method"], options.methods) and not options.timing
            if asked and key_of(row) not in made:
                print(json.dumps(row), file=file, flush=True)
                made.add(key_of(row))
        todo = [key for key in todo if key not in made]
        for index, key in enumerate(todo, 1):
            if time.perf_counter() - started > options.stop_after:
                print(f"stopped with {len(todo) - index + 1} rows to make; the same command resumes", flush=True)
                break
            clock = time.perf_counter()
            row = make_row(*key, options)
            row["seconds_row"] = round(time.perf_counter() - clock, 1)
            print(json.dumps(row), file=file, flush=True)
            cost = f"grads@400 {row['grads_at_400']}" if row.get("grads_at_400") else ""
            print(
                f"{index}/{len(todo)} {time.perf_counter() - started:6.0f} s  {key[0]:40s} {key[1]:22s} {row['status']:6s} "
                f"{cost} {row['reason']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
