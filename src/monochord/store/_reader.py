"""`open_store`: what a store holds, exactly the committed draws, while its run is under way or when it has ended."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from monochord._arviz import library_attributes
from monochord.continuation import add_standpoint
from monochord.errors import DataError, OptionError
from monochord.store._layout import UNCONSTRAINED, options_of_run
from monochord.store._ledger import Ledger, damaged
from monochord.store._snapshot import from_bytes
from monochord.store._writer import BLOCK, END, LAYOUT, check_format, check_is_store
from monochord.store._zarr import open_group


def open_store(path: str | os.PathLike):
    """The run in a store as an ArviZ DataTree, as `mc.sample` gives it; draws are read when they are asked for.

    Exactly the committed draws are there, also while the run is under way: `sample_stats.attrs["status"]` says which.
    Every chunk is compared with its hash as it is read.

    **Raises** `OptionError` where `path` holds no store or no draws yet, `DataError` where it is damaged or of another
    format; reading a damaged chunk later raises `DataError` too.
    """
    root = Path(path)
    check_is_store(root)
    try:
        return _tree(root)
    except DataError:  # a writer may have moved on between the records and the files
        return _tree(root)


def _tree(root: Path):
    import xarray

    ledger = Ledger(root)
    check_format(ledger)
    last = ledger.last(BLOCK, END)
    if last is None or last["done"] == 0:
        raise OptionError(
            f"the store `{root}` holds no draws yet: its run has not come to its first block. Wait for it, or go on with it by "
            "`monochord.resume`."
        )
    options, layout = options_of_run(root, ledger.records[0]["run"]), ledger.last(LAYOUT)
    assert layout is not None
    count = -(-last["done"] // options.thin)
    tree = xarray.DataTree()
    for name in ("posterior", "sample_stats", UNCONSTRAINED):
        if name != UNCONSTRAINED or options.keeps_unconstrained:
            tree[name] = xarray.DataTree(_dataset(ledger, name, count, layout["names"]))
    if layout["observed"]:
        tree["observed_data"] = xarray.DataTree(_with_coordinates(open_group(ledger, "observed_data").load()))
    tree["sample_stats"].attrs.update(last["attributes"])
    tree["posterior"].attrs.update(library_attributes(last["attributes"]))
    for name in ("posterior", "sample_stats"):
        tree[name].attrs["thin"] = options.thin
    if options.keeps_all:
        snapshot = last["snapshot"]
        add_standpoint(tree, from_bytes(ledger.read(snapshot["name"], snapshot["sha256"])).stands)
    return tree


def _dataset(ledger: Ledger, group: str, count: int, names: list[str]):
    found = open_group(ledger, group)
    found.attrs.clear()
    if found.data_vars and found.sizes["draw"] < count:
        raise damaged(ledger.root, f"the group `{group}` is shorter than what was committed")
    if not found.data_vars:
        return found
    found = _with_coordinates(found.isel(draw=slice(0, count)))
    return found.assign_coords(coordinate=names) if group == UNCONSTRAINED else found


def _with_coordinates(dataset):
    """Whole numbers along every axis, as ArviZ has them."""
    coordinates: dict[Any, Any] = {name: np.arange(size) for name, size in dataset.sizes.items()}
    return dataset.assign_coords(coordinates)
