"""`open_store`: what a store holds, exactly the committed draws, while its run is under way or when it has ended."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from monochord._arviz import library_attributes
from monochord.continuation import add_map, add_standpoint
from monochord.errors import DataError, OptionError
from monochord.store._layout import UNCONSTRAINED, options_of_run
from monochord.store._ledger import Ledger, damaged
from monochord.store._snapshot import from_bytes
from monochord.store._writer import BLOCK, END, FITTED, LAYOUT, check_format, check_is_store
from monochord.store._zarr import open_group
from monochord.traces import add_traces


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
    labels = _snapshot(ledger, layout)
    tree = xarray.DataTree()
    for name in ("posterior", "sample_stats", UNCONSTRAINED):
        if name != UNCONSTRAINED or options.keeps_unconstrained:
            tree[name] = xarray.DataTree(_dataset(ledger, name, count, labels | {"coordinate": layout["names"]}))
    for name in layout["data"]:
        tree[name] = xarray.DataTree(_labelled(open_group(ledger, name).load(), labels))
    attributes = last["attributes"] | ({"command": options.origin["command"]} if options.origin else {})
    tree["sample_stats"].attrs.update(attributes)
    tree["posterior"].attrs.update(library_attributes(attributes))
    for name in ("posterior", "sample_stats"):
        tree[name].attrs["thin"] = options.thin
    stretch = _snapshot(ledger, last)
    fit, *_ = _snapshot(ledger, ledger.last(FITTED))
    if options.keeps_all:
        add_standpoint(tree, stretch.stands)
        add_map(tree, fit.map if fit is not None else None)
    return add_traces(tree, fit, stretch.beginning.warmup)


def _snapshot(ledger: Ledger, record):
    found = record["snapshot"]
    return from_bytes(ledger.read(found["name"], found["sha256"]))


def _dataset(ledger: Ledger, group: str, count: int, labels: dict[str, Any]):
    found = open_group(ledger, group)
    found.attrs.clear()
    if found.data_vars and found.sizes["draw"] < count:
        raise damaged(ledger.root, f"the group `{group}` is shorter than what was committed")
    if not found.data_vars:
        return found
    return _labelled(found.isel(draw=slice(0, count)), labels)


def _labelled(dataset, labels: dict[str, Any]):
    """The stated labels along every axis, else whole numbers, as ArviZ has them."""
    coordinates: dict[Any, Any] = {
        axis: labels[axis] if axis in labels else np.arange(size) for axis, size in dataset.sizes.items()
    }
    return dataset.assign_coords(coordinates)
