"""CmdStan with a diagonal or dense metric, where CMDSTAN and MONOCHORD_POSTERIORDB_CHECKOUT name its folder and the
folder of posteriordb with Stan programs.

Nothing can be counted inside Stan's own density. The count is Stan's `n_leapfrog__`, and what its source says runs
besides: one gradient at the start of each transition, a value and a gradient for each chain's start. The searches of
step sizes (a few gradients each) and starts that Stan rejected are in no output: the count is a lower bound.
"""

import json
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.clock import CLOCK
from benchmarks.flat import FlatProblem
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, PeerError, Run

METHODS = ("diagonal", "dense")
PACKAGES = ("cmdstanpy",)
COUNTED_BY_ENGINE = True
CHECKOUT_VARIABLE = "MONOCHORD_POSTERIORDB_CHECKOUT"
NUM_WARMUP = 1000  # Stan's default
GRADIENTS_TRANSITION = 1  # `base_nuts::transition` starts with `hamiltonian_.init`
GRADIENTS_START = 2  # `services::util::initialize`: the value, then value and gradient
SIGNIFICANT_FIGURES = 16  # of the draws in the files; fewer would show in moments of narrow posteriors


def is_here() -> bool:
    """Whether both folders are named, so that its rows can be made and not only read."""
    return bool(os.environ.get("CMDSTAN") and os.environ.get(CHECKOUT_VARIABLE))


def import_package() -> None:
    """Import what a user of the package would."""
    if not os.environ.get("CMDSTAN"):
        raise PeerError("CMDSTAN is not set: install CmdStan and set it to its folder")
    import cmdstanpy  # noqa: F401


def _program_and_data(name: str) -> tuple[Path, dict]:
    """The Stan program and the data of a posterior, from posteriordb's own folder."""
    base = Path(os.environ.get(CHECKOUT_VARIABLE, "")) / "posterior_database"
    entry = base / "posteriors" / f"{name}.json"
    if not entry.is_file():
        raise PeerError(f"no Stan program for {name}: {CHECKOUT_VARIABLE} names no posteriordb checkout that has it")
    record = json.loads(entry.read_text())
    with zipfile.ZipFile(base / "data" / "data" / f"{record['data_name']}.json.zip") as archive:
        data = json.loads(archive.read(archive.namelist()[0]))
    return base / "models" / "stan" / f"{record['model_name']}.stan", data


def _compiled(program: Path, folder: str):
    """The model of a copy of `program`, as Stan compiles beside it."""
    import cmdstanpy

    clock = time.perf_counter()
    model = cmdstanpy.CmdStanModel(stan_file=shutil.copy(program, folder))
    CLOCK.add(time.perf_counter() - clock)
    return model


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """1000 + 1000 iterations; quantities are read under Stan's own names, which are the reference's."""
    import cmdstanpy

    program, data = _program_and_data(flat.problem.name)
    kept = flat.once("folder", tempfile.TemporaryDirectory)  # goes with `flat`
    model = flat.once("model", lambda: _compiled(program, kept.name))
    with tempfile.TemporaryDirectory() as folder:
        fitted = model.sample(
            data=data, chains=NUM_CHAINS, parallel_chains=1, seed=seed + 1, iter_warmup=NUM_WARMUP,
            iter_sampling=NUM_DRAWS, save_warmup=True, metric={"diagonal": "diag_e", "dense": "dense_e"}[method],
            output_dir=folder, sig_figs=SIGNIFICANT_FIGURES, show_progress=False,
        )  # fmt: skip
        table = np.moveaxis(fitted.draws(inc_warmup=True), 0, 1)  # (chains, iterations, columns)
    if table.shape[:2] != (NUM_CHAINS, NUM_WARMUP + NUM_DRAWS):
        raise PeerError(f"CmdStan returned {table.shape[1]} iterations of {table.shape[0]} chains")
    columns = list(fitted.column_names)
    leapfrogs = table[:, :, columns.index("n_leapfrog__")].sum(axis=0)
    gradients = leapfrogs + GRADIENTS_TRANSITION * NUM_CHAINS
    draws = table[:, NUM_WARMUP:]
    return Run(
        draws=np.empty((NUM_CHAINS, NUM_DRAWS, 0)),
        gradients={
            "fit": 0,
            "warmup": GRADIENTS_START * NUM_CHAINS + int(gradients[:NUM_WARMUP].sum()),
            "sampling": int(gradients[NUM_WARMUP:].sum()),
        },
        seconds={"fit": 0.0} | {name: sum(chain[name] for chain in fitted.time) for name in ("warmup", "sampling")},
        divergences=int(draws[:, :, columns.index("divergent__")].sum()),
        reported=int(leapfrogs.sum()),
        details={"cmdstan": ".".join(map(str, cmdstanpy.cmdstan_version() or ("unknown",)))},
        scalars={name: draws[:, :, index] for index, name in enumerate(columns) if not name.endswith("__")},
    )
