"""The only file that imports ArviZ: ESS, R̂ and Pareto k̂ on plain arrays, summaries, and the DataTree."""

import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monochord.errors import DataError
from monochord.files import check_output, write_whole

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

    try:
        with np.errstate(all="ignore"):
            _, shape = array_stats.psislw(-np.asarray(log_ratios)[None, :], axis=-1)
    except ValueError:  # all tail values are the same
        return float("nan")
    return float(np.ravel(shape)[0])


def bulk_and_tail_ess(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bulk and tail ESS of each coordinate of draws shaped (chains, draws, *event)."""
    from arviz_stats.base.array import array_stats

    moved = np.moveaxis(np.asarray(x), (0, 1), (-2, -1))
    bulk = array_stats.ess(moved, method="bulk")
    tail = array_stats.ess(moved, method="tail", prob=TAIL)
    return np.asarray(bulk), np.asarray(tail)


def bulk_ess(x: np.ndarray) -> np.ndarray:
    """Bulk ESS of each coordinate of draws shaped (chains, draws, dim); 0 where it cannot be told."""
    return np.nan_to_num(np.atleast_1d(_along(x, "ess", method="bulk")))


def ess_of_means(x: np.ndarray) -> np.ndarray:
    """ESS of the mean of each coordinate of draws shaped (chains, draws, dim); 0 where it cannot be told."""
    return np.nan_to_num(np.atleast_1d(_along(x, "ess", method="mean")))


def convergence(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smaller of bulk and tail ESS, and R̂, of each coordinate of draws shaped (chains, draws, dim).

    NaN for coordinates that never change.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        bulk, tail = bulk_and_tail_ess(x)
    moving = np.ptp(x, axis=(0, 1)) > 0
    ess = np.where(moving, np.minimum(np.nan_to_num(bulk), np.nan_to_num(tail)), np.nan)
    return ess, np.where(moving, np.atleast_1d(_along(x, "rhat")), np.nan)


def _along(x: np.ndarray, statistic: str, **options) -> np.ndarray:
    from arviz_stats.base.array import array_stats

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # constant or too few draws: NaN says so
        return np.asarray(getattr(array_stats, statistic)(np.moveaxis(np.asarray(x), (0, 1), (-2, -1)), **options))


def summary_rows(posterior) -> list[SummaryRow]:
    """One row for each scalar of a posterior group (an xarray dataset), named as in the model."""
    rows = []
    for name, variable in posterior.data_vars.items():
        values = np.asarray(variable.transpose("chain", "draw", ...).values, dtype=np.float64)
        flat = values.reshape(*values.shape[:2], -1)
        if flat.shape[2] == 0:
            continue
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # constant entries have no ESS: NaN says so
            bulk, tail = bulk_and_tail_ess(flat)
        r_hat = _along(flat, "rhat")
        low, high = np.quantile(flat, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=(0, 1))
        labels = _labels(name, values.shape[2:])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # one draw has no sd
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
    data: dict[str, dict[str, np.ndarray]],
    attributes: dict[str, Any],
    coords: dict[str, Any] | None = None,
    dims: dict[str, list[str]] | None = None,
):
    """ArviZ DataTree; arrays of the first two groups lead with (chain, draw), those of `data` (group by group) do not.

    `attributes` go to `sample_stats`; nested values become JSON strings, as netCDF has no others.
    """
    import arviz_base

    groups: dict[str, Any] = {"posterior": posterior, "sample_stats": sample_stats}
    groups |= {group: arrays for group, arrays in data.items() if arrays}
    dims = {name: axes for name, axes in (dims or {}).items() if any(name in arrays for arrays in groups.values())}
    tree = arviz_base.from_dict(
        groups, coords=coords or {}, dims=dims, check_conventions=False
    )  # few draws of many chains are no mistake
    flat = {
        name: value if isinstance(value, (str, int, float)) else json.dumps(value) for name, value in attributes.items()
    }
    tree["sample_stats"].attrs.update(flat)
    tree["posterior"].attrs.update(
        {"inference_library": "monochord", "inference_library_version": flat.get("version", "")}
    )
    return tree


def add_group(
    tree, group: str, arrays: dict[str, np.ndarray], coords: dict[str, Any], dims: dict[str, list[str]]
) -> None:
    """Add or replace a group of arrays that lead with (chain, draw); labels are used where their number of axes fits."""
    import arviz_base

    dims = {name: dims[name] for name in arrays if name in dims and len(dims[name]) == arrays[name].ndim - 2}
    used = {axis for axes in dims.values() for axis in axes}
    coords = {axis: places for axis, places in coords.items() if axis in used}
    made = arviz_base.from_dict({group: arrays}, coords=coords, dims=dims, check_conventions=False)
    tree[group] = made[group]
    tree[group].attrs["inference_library"] = "monochord"


def add_unconstrained(tree, x: np.ndarray, names: tuple[str, ...]) -> None:
    """Add the group `unconstrained_posterior`: `x` with dims (chain, draw, coordinate), coordinates by name."""
    import xarray

    variable = xarray.DataArray(
        x,
        dims=("chain", "draw", "coordinate"),
        coords={
            "chain": tree["posterior"]["chain"],
            "draw": tree["posterior"]["draw"],
            "coordinate": list(names),
        },
    )
    tree["unconstrained_posterior"] = xarray.DataTree(xarray.Dataset({"x": variable}))


def write_netcdf(tree, path: str | os.PathLike, force: bool = False) -> None:
    """Write the DataTree, all or nothing.

    The file is put together in memory first, as HDF5 does not survive a full disk.

    **Raises** `OutputError` when the file exists (without `force`) or writing fails; whatever stood at
    `path` is untouched.
    """
    path = check_output(path, force)
    write_whole(path, tree.to_netcdf(None, engine="h5netcdf"))


def read_netcdf(path: str | os.PathLike):
    """The DataTree in a file, in memory.

    **Raises** `DataError` where the file is missing, is no netCDF, or holds no run.
    """
    import xarray

    path = Path(path)
    if not path.is_file():
        raise DataError(f"the result `{path}` does not exist or is no file. A run is one netCDF file. Check the path.")
    try:
        with xarray.open_datatree(path, engine="h5netcdf") as tree:
            found = tree.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"the result `{path}` cannot be read ({type(error).__name__}: {error}). A run is a netCDF file that "
            "`monochord.write_netcdf` or `monochord sample --output` wrote. Check the file."
        ) from None
    for group in ("posterior", "sample_stats"):
        if group not in found.children:
            raise DataError(f"the file `{path}` has no group `{group}`. A run of Monochord has one. Check the file.")
    return found
