"""The only file that imports ArviZ: ESS, R̂ and Pareto k̂ on plain arrays, summaries, and the DataTree."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monochord.errors import OutputError

INTERVAL = 0.94  # ArviZ's long-standing default
TAIL = (0.05, 0.95)  # tail ESS of the 5 % and 95 % quantiles; arviz-stats' own default differs


class SummaryRow(NamedTuple):
    """Summary of one scalar quantity; the interval is equal-tailed."""

    name: str
    mean: float
    sd: float
    low: float
    high: float
    ess_bulk: float
    ess_tail: float
    r_hat: float


def pareto_shape(log_ratios: np.ndarray) -> float:
    """Pareto shape k̂ of importance ratios exp(`log_ratios`), shape ``(draws,)``."""
    from arviz_stats.base.array import array_stats

    _, shape = array_stats.psislw(-np.asarray(log_ratios)[None, :], axis=-1)
    return float(np.ravel(shape)[0])


def bulk_and_tail_ess(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bulk and tail ESS of each coordinate of draws shaped (chains, draws, *event)."""
    from arviz_stats.base.array import array_stats

    moved = np.moveaxis(np.asarray(x), (0, 1), (-2, -1))
    bulk = array_stats.ess(moved, method="bulk")
    tail = array_stats.ess(moved, method="tail", prob=TAIL)
    return np.asarray(bulk), np.asarray(tail)


def smallest_ess(x: np.ndarray) -> float:
    """Smallest of bulk and tail ESS over all coordinates; constant coordinates are left out."""
    flat = np.asarray(x).reshape(*x.shape[:2], -1)
    moving = np.ptp(flat, axis=(0, 1)) > 0
    if not moving.any():
        return float("nan")
    bulk, tail = bulk_and_tail_ess(flat[:, :, moving])
    return float(np.nanmin([np.nanmin(bulk), np.nanmin(tail)]))


def summary_rows(posterior) -> list[SummaryRow]:
    """One row for each scalar of a posterior group (an xarray dataset), named as in the model."""
    from arviz_stats.base.array import array_stats

    rows = []
    for name, variable in posterior.data_vars.items():
        values = np.asarray(variable.transpose("chain", "draw", ...).values, dtype=np.float64)
        flat = values.reshape(*values.shape[:2], -1)
        moved = np.moveaxis(flat, (0, 1), (-2, -1))
        bulk, tail = bulk_and_tail_ess(flat)
        r_hat = np.asarray(array_stats.rhat(moved))
        low, high = np.quantile(flat, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=(0, 1))
        labels = _labels(name, values.shape[2:])
        mean, sd = flat.mean((0, 1)), flat.std((0, 1), ddof=1)
        columns = (labels, mean, sd, low, high, np.atleast_1d(bulk), np.atleast_1d(tail), np.atleast_1d(r_hat))
        rows += [SummaryRow(row[0], *(float(v) for v in row[1:])) for row in zip(*columns, strict=True)]
    return rows


def _labels(name, shape) -> list[str]:
    if not shape:
        return [str(name)]
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(*shape)]


def to_datatree(
    posterior: dict[str, np.ndarray],
    sample_stats: dict[str, np.ndarray],
    observed_data: dict[str, np.ndarray],
    attributes: dict[str, Any],
):
    """ArviZ DataTree; arrays of the first two groups lead with (chain, draw).

    `attributes` go to `sample_stats`; nested values become JSON strings, as netCDF has no others.
    """
    import arviz_base

    groups: dict[str, Any] = {"posterior": posterior, "sample_stats": sample_stats}
    if observed_data:
        groups["observed_data"] = observed_data
    tree = arviz_base.from_dict(groups)
    flat = {
        name: value if isinstance(value, (str, int, float)) else json.dumps(value) for name, value in attributes.items()
    }
    tree["sample_stats"].attrs.update(flat)
    tree["posterior"].attrs.update(
        {"inference_library": "monochord", "inference_library_version": flat.get("version", "")}
    )
    return tree


def check_output(path: str | os.PathLike, force: bool = False) -> Path:
    """`path` if a result may be written there, asked before hours of work.

    **Raises** `OutputError` when it exists (without `force`), is a folder, or its folder is missing or
    not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(
            f"the output `{path}` is a folder. A result is one file. Name a file in it, such as `{path / 'posterior.nc'}`."
        )
    if path.exists() and not force:
        raise OutputError(
            f"the output `{path}` exists. It may hold an earlier result. Name another file, or pass --force to replace it."
        )
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(
            f"the folder `{folder}` of the output does not exist. Nothing can be written there. Create it, or name another."
        )
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".monochord-"):
            pass
    except OSError as error:
        raise OutputError(
            f"the folder `{folder}` is not writable ({error.strerror}). The result needs a place. Change its permissions, or name another."
        ) from None
    return path


def write_netcdf(tree, path: str | os.PathLike) -> None:
    """Write under a temporary name in the same folder, sync, and move into place: all or nothing.

    **Raises** `OutputError` when it fails; whatever stood at `path` is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        tree.to_netcdf(temporary, engine="h5netcdf")
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"writing `{path}` failed: {error}. The old file, if any, is untouched. Free space or name another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
