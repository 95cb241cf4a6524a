"""CmdStan with a diagonal or dense metric, where CMDSTAN is set and a posteriordb checkout has the program.

Nothing can be counted inside Stan's own density, so the count is Stan's `n_leapfrog__`, which leaves out
the starts and the search of the first step size.
"""

import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.flat import FlatProblem
from benchmarks.problems._posteriordb import FOLDER_VARIABLE
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, PeerError, Run

METHODS = ("diagonal", "dense")
PACKAGES = ("cmdstanpy",)
COUNTED_BY_ENGINE = True


def import_package() -> None:
    """Import what a user of the package would."""
    if not os.environ.get("CMDSTAN"):
        raise PeerError("CMDSTAN is not set: install CmdStan and set it to its folder")
    import cmdstanpy  # noqa: F401


def _program_and_data(name: str) -> tuple[Path, dict]:
    """The Stan program and the data of a posterior, from the checkout that `MONOCHORD_POSTERIORDB` names."""
    base = Path(os.environ.get(FOLDER_VARIABLE, "")) / "posterior_database"
    entry = base / "posteriors" / f"{name}.json"
    if not entry.is_file():
        raise PeerError(f"no Stan program for {name}: {FOLDER_VARIABLE} names no posteriordb checkout that has it")
    record = json.loads(entry.read_text())
    with zipfile.ZipFile(base / "data" / "data" / f"{record['data_name']}.json.zip") as archive:
        data = json.loads(archive.read(archive.namelist()[0]))
    return base / "models" / "stan" / f"{record['model_name']}.stan", data


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """1000 + 1000 iterations; quantities are read under Stan's own names, which are the reference's."""
    import cmdstanpy

    program, data = _program_and_data(flat.problem.name)
    metric = {"diagonal": "diag_e", "dense": "dense_e"}[method]
    with tempfile.TemporaryDirectory() as folder:
        model = cmdstanpy.CmdStanModel(stan_file=str(program), exe_file=None)
        fitted = model.sample(
            data=data, chains=NUM_CHAINS, parallel_chains=1, iter_sampling=NUM_DRAWS, save_warmup=True, seed=seed + 1,
            metric=metric, show_progress=False, output_dir=folder,
        )  # fmt: skip
        table = np.moveaxis(fitted.draws(inc_warmup=True), 0, 1)  # (chains, iterations, columns)
        times = fitted.time
    columns = list(fitted.column_names)
    num_warmup = table.shape[1] - NUM_DRAWS
    leapfrogs = table[:, :, columns.index("n_leapfrog__")]
    names = [name.replace(".", "[", 1) + "]" if "." in name else name for name in columns]
    kept = table[:, num_warmup:]
    return Run(
        draws=np.empty((NUM_CHAINS, 0, flat.dim)),
        gradients={
            "fit": 0,
            "warmup": int(leapfrogs[:, :num_warmup].sum()),
            "sampling": int(leapfrogs[:, num_warmup:].sum()),
        },
        seconds={
            "fit": 0.0,
            "warmup": sum(entry["warmup"] for entry in times),
            "sampling": sum(entry["sampling"] for entry in times),
        },
        divergences=int(kept[:, :, columns.index("divergent__")].sum()),
        scalars={name: kept[:, :, index] for index, name in enumerate(names) if not name.endswith("__")},
    )
