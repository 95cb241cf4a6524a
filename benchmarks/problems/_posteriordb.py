"""Finds, loads and registers the fifteen reference posteriors of posteriordb."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import _posteriordb_others as others
from . import _posteriordb_regressions as regressions
from ._posteriordb_lotka_volterra import lotka_volterra
from ._problem import Moment, Problem, count_coordinates

FOLDER_VARIABLE = "MONOCHORD_POSTERIORDB"
REPOSITORY = Path(__file__).resolve().parents[2]

BUILDERS: dict[str, Callable[[dict[str, Any]], regressions.Parts]] = {
    "arK-arK": regressions.ark,
    "eight_schools-eight_schools_noncentered": others.eight_schools_noncentered,
    "eight_schools-eight_schools_centered": others.eight_schools_centered,
    "kidiq-kidscore_momhsiq": regressions.kidscore_momhsiq,
    "kidiq-kidscore_interaction": regressions.kidscore_interaction,
    "earnings-logearn_interaction": regressions.logearn_interaction,
    "mesquite-logmesquite_logvash": regressions.logmesquite_logvash,
    "nes2000-nes": regressions.nes,
    "garch-garch11": others.garch11,
    "hudson_lynx_hare-lotka_volterra": lotka_volterra,
    "gp_pois_regr-gp_pois_regr": others.gp_pois_regr,
    "diamonds-diamonds": regressions.diamonds,
    "sblrc-blr": regressions.blr,
    "hmm_example-hmm_example": others.hmm_example,
    "low_dim_gauss_mix-low_dim_gauss_mix": others.low_dim_gauss_mix,
}


def find_folder(folder: str | Path | None = None) -> Path:
    """Return the folder with `data/` and `reference/`, or say where it was sought.

    The argument wins over the environment variable MONOCHORD_POSTERIORDB, which wins
    over `../shared/posteriordb` beside the repository.
    """
    chosen = folder or os.environ.get(FOLDER_VARIABLE)
    path = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "posteriordb"
    if not (path / "data").is_dir() or not (path / "reference").is_dir():
        raise FileNotFoundError(
            f"`{path}` has no `data` and `reference` folders. The reference posteriors "
            "are not part of this repository. Pass `posteriordb=<folder>` or set "
            f"{FOLDER_VARIABLE} to the folder that holds both."
        )
    return path


def _moment(entry: dict[str, Any]) -> Moment:
    names = {"n_draws": "num_draws"}
    return Moment(**{names.get(key, key): value for key, value in entry.items()})


def load(name: str, folder: str | Path | None = None) -> Problem:
    """Load one reference posterior: its data, log density and reference moments."""
    path = find_folder(folder)
    raw = json.loads((path / "data" / f"{name}.json").read_text())
    record = json.loads((path / "reference" / f"{name}.json").read_text())
    log_density, constrain, init, data = BUILDERS[name](raw)
    return Problem(
        name=name,
        dim=count_coordinates(init),
        log_density=log_density,
        constrain=constrain,
        init=init,
        data=data,
        reference={key: _moment(entry) for key, entry in record["params"].items()},
        reference_source=f"{record['source']}/{record['reference_posterior_name']}",
        verdict=None,
    )
