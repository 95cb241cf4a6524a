"""Summaries, and the DataTree and netCDF files that ArviZ reads, by its schema."""

import contextlib
import datetime
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monochord.errors import DataError, OutputError
from monochord.mixing import bulk_tail_and_r_hat

INTERVAL = 0.94  # ArviZ's long-standing default
SAMPLE_DIMS = ("chain", "draw")


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


def summary_rows(posterior) -> list[SummaryRow]:
    """One row for each scalar of a posterior group (an xarray dataset), named as in the model."""
    rows = []
    for name, variable in posterior.data_vars.items():
        values = np.asarray(variable.transpose("chain", "draw", ...).values, dtype=np.float64)
        flat = values.reshape(*values.shape[:2], -1)
        if flat.shape[2] == 0:
            continue
        bulk, tail, r_hat = bulk_tail_and_r_hat(flat)
        low, high = np.quantile(flat, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=(0, 1))
        labels = _labels(name, values.shape[2:])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # one draw has no sd
            mean, sd = flat.mean((0, 1)), flat.std((0, 1), ddof=1)
        columns = (labels, mean, sd, low, high, bulk, tail, r_hat)
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
    import xarray

    groups = {"posterior": posterior, "sample_stats": sample_stats}
    made = {group: _dataset(arrays, coords or {}, dims or {}, SAMPLE_DIMS) for group, arrays in groups.items()}
    made |= {group: _dataset(arrays, coords or {}, dims or {}, ()) for group, arrays in data.items() if arrays}
    tree = xarray.DataTree.from_dict(made)
    flat = flat_attributes(attributes)
    tree["sample_stats"].attrs.update(flat)
    tree["posterior"].attrs.update(library_attributes(flat))
    return tree


def flat_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Numbers and strings; nested values as JSON, which every file format holds."""
    return {
        name: value if isinstance(value, (str, int, float)) else json.dumps(value) for name, value in attributes.items()
    }


def library_attributes(flat: dict[str, Any]) -> dict[str, Any]:
    """Who made a posterior, as ArviZ names it."""
    return {"inference_library": "monochord", "inference_library_version": flat.get("version", "")}


def _dataset(arrays: dict[str, np.ndarray], coords: dict[str, Any], dims: dict[str, list[str]], lead: tuple[str, ...]):
    """Xarray dataset by ArviZ's schema: every axis has a coordinate; one that has no name is called `NAME_dim_0` and so on."""
    import xarray

    variables, places = {}, {}
    for name, array in arrays.items():
        array = np.asarray(array)
        count = array.ndim - len(lead)
        stated = list(dims.get(name) or ())[:count]
        axes = [axis or f"{name}_dim_{place}" for place, axis in enumerate([*stated, *[None] * (count - len(stated))])]
        variables[name] = ((*lead, *axes), array)
        for axis, length in zip((*lead, *axes), array.shape, strict=True):
            places[axis] = coords.get(axis, np.arange(length))
    return xarray.Dataset(
        variables, coords=places, attrs={"created_at": datetime.datetime.now(datetime.UTC).isoformat()}
    )


def add_group(
    tree, group: str, arrays: dict[str, np.ndarray], coords: dict[str, Any], dims: dict[str, list[str]]
) -> None:
    """Add or replace a group of arrays that lead with (chain, draw); labels are used where their number of axes fits."""
    import xarray

    dims = {name: dims[name] for name in arrays if name in dims and len(dims[name]) == arrays[name].ndim - 2}
    tree[group] = xarray.DataTree(_dataset(arrays, coords, dims, SAMPLE_DIMS))
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


def check_output(path: str | os.PathLike, force: bool = False) -> Path:
    """Where a result may be written, links resolved; asked before hours of work.

    **Raises** `OutputError` when it exists (without `force`), is a folder or a device, or its folder is
    missing or not writable.
    """
    try:
        path = Path(path).resolve()
        if path.is_dir():
            raise OutputError(
                f"the output `{path}` is a folder. A result is one file. Name a file in it, such as `{path / 'posterior.nc'}`."
            )
        if path.exists() and not path.is_file():
            raise OutputError(f"the output `{path}` is a device or a pipe. A result is a regular file. Name one.")
        if path.exists() and not force:
            raise _exists(path)
        if not path.parent.is_dir():
            raise OutputError(
                f"the folder `{path.parent}` of the output does not exist. Nothing can be written there. Create it, or name another."
            )
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".monochord-"):
            pass
    except (OSError, RuntimeError) as error:
        if isinstance(error, OutputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"the output `{path}` is not writable ({reason}). The result needs a place. Change permissions, or name another."
        ) from None
    return path


def write_netcdf(tree, path: str | os.PathLike, force: bool = False) -> None:
    """Write the DataTree, all or nothing.

    The file is put together in memory first, as HDF5 does not survive a full disk.

    **Raises** `OutputError` when the file exists (without `force`) or writing fails; whatever stood at
    `path` is untouched.
    """
    path = check_output(path, force)
    write_file(tree.to_netcdf(None, engine="h5netcdf"), path, force)


def write_file(content: bytes | memoryview, path: str | os.PathLike, force: bool = False) -> None:
    """Write `content` under a temporary name in the same folder, sync, and move it into place: all or nothing.

    **Raises** `OutputError` as `write_netcdf` does.
    """
    path = check_output(path, force)
    temporary = path.with_name(f".monochord-{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"writing `{path}` failed: {error.strerror or error}. The old file, if any, is untouched. Free space or name another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"the output `{path}` exists. It may hold an earlier result. Name another file, or pass --force to replace it."
    )
