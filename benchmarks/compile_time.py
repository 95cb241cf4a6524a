"""What the compiler options of `monochord.compiling` save, and what they cost: programs with and without them.

Run: python -m benchmarks.compile_time [--problems NAME ...] [--output benchmarks/results/compile_time.csv]
     python -m benchmarks.compile_time --table
A row a problem and program: seconds of compiling with and without the options in one process, and microseconds a gradient of
each (the least of five calls). `evaluate` is the batch of gradients of fits, `hmc` and `nuts` are blocks of one chain.
"""

import argparse
import csv
import time
from pathlib import Path
from statistics import geometric_mean

import jax
import numpy as np

from benchmarks.flat import flatten
from benchmarks.problems import load

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from monochord.arrays import named_key  # noqa: E402
from monochord.compiling import compiler_options  # noqa: E402
from monochord.metrics import identity_metric  # noqa: E402
from monochord.sampling._blackjax import BlockSpec, Position, plain_numbers, run_block  # noqa: E402
from monochord.targets._gradient import CAPACITY, LANES, _evaluate  # noqa: E402

PATH = Path(__file__).parent / "results" / "compile_time.csv"
PROBLEMS = (
    "kidiq-kidscore_interaction", "logistic_25", "diamonds-diamonds", "hudson_lynx_hare-lotka_volterra", "gp_82", "irt_163",
    "hmm_example-hmm_example", "gp_pois_regr-gp_pois_regr", "garch-garch11", "sv_503", "spikes_10k",
)  # fmt: skip
COLUMNS = ("problem", "program", "compile_with", "compile_without", "gradient_with", "gradient_without")
ITERATIONS, CALLS = 20, 5
STEP = 1e-5  # so small that every trajectory is of the same length and none diverges


def programs(name: str):
    """Of a problem: name, what is lowered, its arguments, and gradients a call."""
    flat = flatten(load(name))
    target = mc.target(flat.density, init=flat.problem.init, data=flat.problem.data)
    x = np.asarray(target.center, np.float64)
    batch = np.tile(x, (CAPACITY, 1))
    yield "evaluate", _evaluate.program.lower(target, batch, 0), (target, batch, CAPACITY // LANES), CAPACITY
    position = Position(x, np.zeros(()), np.zeros_like(x))
    numbers = plain_numbers(0, ITERATIONS, STEP, 32 * STEP, 0.5)
    arguments = (target, identity_metric(target.dim), position, named_key(0, "compile"), *numbers)
    for kernel in ("hmc", "nuts"):
        yield kernel, run_block.program.lower(*arguments, spec=BlockSpec(kernel, 64, 6)), arguments, None


def measured(lowered, options, arguments, gradients) -> tuple[float, float]:
    """Seconds of compiling, and microseconds a gradient."""
    start = time.perf_counter()
    program = lowered.compile(compiler_options=options)
    compiling, calls = time.perf_counter() - start, []
    for _ in range(1 + CALLS):
        start = time.perf_counter()
        out = jax.block_until_ready(program(*arguments))
        calls.append(time.perf_counter() - start)
    gradients = int(np.sum(out[1].num_steps)) if gradients is None else gradients
    return compiling, 1e6 * min(calls[1:]) / gradients


def table(rows: list[dict]) -> str:
    """Markdown: ratios with over without."""
    lines = ["| problem | program | compiling | with / without | a gradient | with / without |", "|---" * 6 + "|"]
    for row in rows:
        numbers = {key: float(row[key]) for key in COLUMNS[2:]}
        lines.append(
            f"| {row['problem']} | {row['program']} | {numbers['compile_with']:.2f} s | "
            f"{numbers['compile_with'] / numbers['compile_without']:.2f} | {numbers['gradient_with']:.1f} µs | "
            f"{numbers['gradient_with'] / numbers['gradient_without']:.2f} |"
        )
    for program in dict.fromkeys(row["program"] for row in rows):
        means = [
            geometric_mean(float(row[f"{what}_with"]) / float(row[f"{what}_without"]) for row in rows if row["program"] == program)
            for what in ("compile", "gradient")
        ]  # fmt: skip
        lines.append(f"| geometric mean | {program} | | {means[0]:.2f} | | {means[1]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Make rows, or print the table of those there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=PROBLEMS)
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        with options.output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for name in options.problems:
                for program, lowered, arguments, gradients in programs(name):
                    without, slow = measured(lowered, {"xla_cpu_use_fusion_emitters": True}, arguments, gradients)
                    within, fast = measured(lowered, compiler_options("cpu"), arguments, gradients)
                    row = [name, program, *(f"{value:.4g}" for value in (within, without, fast, slow))]
                    writer.writerow(dict(zip(COLUMNS, row, strict=True)))
                    file.flush()
    print(table(list(csv.DictReader(options.output.open()))))


if __name__ == "__main__":
    main()
