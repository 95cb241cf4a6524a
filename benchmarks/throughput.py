"""All the machine: draws and gradients a second by chains and threads, memory of stored runs, and 100,000 dimensions.

Run: python -m benchmarks.throughput [--parts chains memory large] [--output benchmarks/results/throughput.csv]
One process a row (of `chains`, one for all rows of a kind, whose `peak_gib` is that so far); rows of a part that is made again replace its old ones. `seconds` are of sampling alone; in the part
`large`, of everything (fit, warm-up, sampling, output). `load_average` is the machine's when the row ended, over one minute:
on a shared machine compare rows of one part with each other, and not with other parts or days. `repeats` of each row of
`chains` are made by turns, and the fastest counts.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
COLUMNS = (
    "part", "model", "dim", "chains", "threads", "chain_method", "store", "draws", "seconds", "draws_per_second",
    "gradients_per_second", "idle_share", "ess", "status", "peak_gib", "store_gib", "load_average",
)  # fmt: skip
CHAINS = tuple(2**k for k in range(11))
WORK = 8_000  # draws of all chains together, in a row of `chains`
REPEATS = 2
RANK = 20
LARGE = 100_000


def logistic(params, x, y):
    """Logistic regression, 1000 × 25."""
    import jax.numpy as jnp

    logits = x @ params["beta"]
    return jnp.sum(y * logits - jnp.logaddexp(0.0, logits)) - 0.125 * jnp.sum(params["beta"] ** 2)


def spiked(params, basis, weight):
    """A Gaussian whose precision is the identity plus rank `RANK`."""
    import jax.numpy as jnp

    along = basis.T @ params["x"]
    return -0.5 * jnp.sum(params["x"] ** 2) - 0.5 * jnp.sum(weight * along**2)


def make_target(model: str, dim: int):
    """`logistic`, or `spiked`: unit variances but for random directions with sd 100 and as many with sd .01."""
    import monochord as mc

    rng = np.random.default_rng(0)
    if model == "logistic":
        x = rng.standard_normal((1000, dim))
        y = (rng.random(1000) < 1 / (1 + np.exp(-x @ (0.3 * rng.standard_normal(dim))))).astype(float)
        return mc.target(logistic, init={"beta": np.zeros(dim)}, data={"x": x, "y": y})
    basis = np.linalg.qr(rng.standard_normal((dim, RANK)))[0]
    weight = np.repeat([100.0**-2 - 1.0, 100.0**2 - 1.0], RANK // 2)  # standard deviations 100 and .01
    data = {"basis": basis, "weight": weight}
    return mc.target(spiked, init={"x": np.zeros(dim)}, data=data)


def chains_rows(threads: int, chain_method: str) -> list[dict]:
    """NUTS with a trusted fit on the logistic regression, from 1 to 1024 chains; the fit is not timed."""
    import monochord as mc

    target = make_target("logistic", 25)
    fit = mc.fit(target, seed=0, progress=False)
    return [_chains_row(target, fit, chains, threads, chain_method) for chains in CHAINS]


def _chains_row(target, fit, chains: int, threads: int, chain_method: str) -> dict:
    import monochord as mc

    draws = max(20, WORK // chains)
    data = mc.sample(
        target, fit=fit, seed=1, chains=chains, draws=draws, kernel="nuts", chain_method=chain_method, progress=False
    )
    return _row("chains", "logistic", data, draws, chains, threads, chain_method, "", 0.0)


def memory_row(draws: int, store: str) -> dict:
    """500 dimensions, 4 chains: draws in memory, all in a store, or one quantity of ten and every tenth draw."""
    import monochord as mc

    target = make_target("spiked", 500)
    folder = Path(tempfile.mkdtemp(prefix="monochord-throughput-"))
    options = {"": {}, "all": {"store": folder / "run"}, "thin": {"store": folder / "run", "thin": 10}}[store]
    data = mc.sample(target, seed=1, draws=draws, progress=False, **options)
    row = _row("memory", "spiked", data, draws, 4, 2, "auto", store, _size(folder))
    shutil.rmtree(folder)
    return row


def large_row(draws: int, store: str) -> dict:
    """10⁵ dimensions from the log density alone: low-rank fit, warm-up, chains until the ESS is enough."""
    import monochord as mc

    started = time.perf_counter()
    target = make_target("spiked", LARGE)
    folder = Path(tempfile.mkdtemp(prefix="monochord-throughput-"))
    options = {"store": folder / "run"} if store else {}
    data = mc.sample(target, seed=1, max_draws=draws, progress=True, **options)
    row = _row("large", "spiked", data, data.posterior.sizes["draw"], 4, 2, "auto", store, _size(folder))
    row["seconds"] = round(time.perf_counter() - started, 1)
    x = data.posterior["x"]
    row["ess"] = round(_least_ess(x[:, :, :1000].values), 0)
    shutil.rmtree(folder)
    return row


def _least_ess(x) -> float:
    from monochord.mixing import convergence

    return float(np.nanmin(convergence(x)[0]))


def _row(part, model, data, draws, chains, threads, chain_method, store, gib) -> dict:
    attrs = data.sample_stats.attrs
    seconds, gradients = attrs["seconds_sampling"], attrs["gradients_sampling"]
    return {
        "part": part, "model": model, "dim": data.unconstrained_posterior.sizes["coordinate"], "chains": chains,
        "threads": threads, "chain_method": chain_method, "store": store, "draws": draws, "seconds": round(seconds, 3),
        "draws_per_second": round(chains * draws / seconds, 1), "gradients_per_second": round(gradients / seconds, 1),
        "idle_share": round(attrs["idle_lanes"] / (attrs["idle_lanes"] + gradients), 3), "ess": "", "status": attrs["status"],
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2), "store_gib": round(gib, 3),
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**30


def in_process(part: str, *arguments, threads: int = 2) -> list[dict]:
    """The rows of one process on `threads` cores."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--row", json.dumps([part, *arguments])]
    cores = ",".join(map(str, range(threads)))
    done = subprocess.run(["taskset", "-c", cores, *command], stdout=subprocess.PIPE, text=True, check=True)
    rows = json.loads(done.stdout.splitlines()[-1])
    for row in rows:
        print({name: row[name] for name in COLUMNS if row[name] != ""}, flush=True)
    return rows


def rows_of(part: str) -> Iterator[dict]:
    """The rows of a part as they are made; those of `chains` come when all have been repeated."""
    if part == "chains":
        kinds = [(2, "threads"), (1, "threads"), (2, "vectorised")]
        made = [
            [row for threads, chain_method in kinds for row in in_process(part, threads, chain_method, threads=threads)]
            for _ in range(REPEATS)
        ]
        yield from (max(same, key=lambda row: row["draws_per_second"]) for same in zip(*made, strict=True))
        return
    if part == "memory":
        asked = [(draws, store) for store in ("", "all", "thin") for draws in (2_000, 8_000, 20_000)]
    else:
        asked = [(400, store) for store in ("", "all")]
    for arguments in asked:
        yield from in_process(part, *arguments)


def main() -> None:
    """Write the rows and print them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["chains", "memory", "large"])
    parser.add_argument("--output", type=Path, default=FOLDER / "results" / "throughput.csv")
    parser.add_argument("--row", type=json.loads)
    options = parser.parse_args()
    if options.row is not None:
        part, *arguments = options.row
        if part == "chains":
            rows = chains_rows(*arguments)
        else:
            rows = [{"memory": memory_row, "large": large_row}[part](*arguments)]
        print(json.dumps(rows))
        return
    old = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    for part in options.parts:
        old = [row for row in old if row["part"] != part]
        for row in rows_of(part):
            old.append(row)
            with options.output.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(old)


if __name__ == "__main__":
    main()
