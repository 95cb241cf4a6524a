"""What a callback costs: microseconds a gradient of a NumPy function called from compiled code, beyond the function itself.

Run: python -m benchmarks.callbacks [--calls 3000] [--output benchmarks/results/callbacks.csv]
One row a way of calling, dimension and number of chains that call at once. A gradient's microseconds are wall time over the
gradients of all chains, the overhead what is left when the function's own time in a bare loop is taken off. `jax.pure_callback` with several chains at 10,000 coordinates and more
may stand still for ever, and is left out there.
"""

import argparse
import csv
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

COLUMNS = (
    "way",
    "dim",
    "chains",
    "microseconds_function",
    "microseconds_gradient",
    "microseconds_overhead",
    "jax",
    "cpus",
)


def log_density(x):
    return -0.5 * float(x @ x)


def gradient(x):
    return -x


def loops() -> dict:
    """Compiled loops over gradients, by the way they call NumPy."""
    import jax

    def pure(x):
        def both(x):
            x = np.asarray(x)
            return np.float64(log_density(x)), gradient(x)

        shapes = (jax.ShapeDtypeStruct((), x.dtype), jax.ShapeDtypeStruct(x.shape, x.dtype))
        return jax.pure_callback(both, shapes, x, vmap_method="sequential")

    def repeat(evaluate):
        def run(state, x, calls):
            def body(_, x):
                value, score = evaluate(state, x)
                return x + 1e-3 * score + 1e-12 * value

            return jax.lax.fori_loop(0, calls, body, x)

        return jax.jit(run)

    return {
        "monochord": repeat(lambda target, x: jax.value_and_grad(target.log_density)(x)),
        "jax.pure_callback": repeat(lambda _, x: pure(x)),
    }


def row_of(way: str, loop, dim: int, chains: int, calls: int) -> dict:
    """One row: the shortest of five runs."""
    import jax

    import monochord as mc

    target = mc.target((log_density, gradient), init=np.zeros(dim))
    state = target if way == "monochord" else None
    starts = [np.random.default_rng(chain).standard_normal(dim) for chain in range(chains)]
    own = min(_seconds(lambda: [(log_density(starts[0]), gradient(starts[0])) for _ in range(calls)]) for _ in range(3))

    def one(x):
        jax.block_until_ready(loop(state, x, calls))

    loop(state, starts[0], 2)
    with ThreadPoolExecutor(chains) as pool:
        wall = min(_seconds(lambda: list(pool.map(one, starts))) for _ in range(5))
    each = wall / (calls * chains)  # Python's lock makes the calls of all chains take turns
    return {
        "way": way, "dim": dim, "chains": chains, "microseconds_function": round(own / calls * 1e6, 2),
        "microseconds_gradient": round(each * 1e6, 2), "microseconds_overhead": round((each - own / calls) * 1e6, 2),
        "jax": jax.__version__, "cpus": os.cpu_count(),
    }  # fmt: skip


def _seconds(function) -> float:
    clock = time.perf_counter()
    function()
    return time.perf_counter() - clock


def main() -> None:
    import jax

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "callbacks.csv")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    rows = []
    for way, loop in loops().items():
        for dim in (10, 1000, 10_000):
            for chains in (1, 4):
                if way == "jax.pure_callback" and chains > 1 and dim >= 10_000:
                    continue
                rows.append(row_of(way, loop, dim, chains, options.calls))
                print(rows[-1], flush=True)
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
