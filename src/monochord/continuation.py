"""What a result carries so that a run can go on from it: where every chain stands, and what it runs with."""

import json
import os
import weakref
from typing import Any

import numpy as np

from monochord.errors import DataError, OptionError
from monochord.gaussian import Gaussian
from monochord.maps import AbstractMap, map_arrays, map_from_arrays, mapped
from monochord.metrics import metric_arrays, metric_from_arrays
from monochord.sampling import Segment, Standpoint, Tuning
from monochord.spectra import WIDE
from monochord.targets import AbstractTarget, Evaluations

GROUP = "sampler_state"
FORMAT = 1
STATISTICS = {"log_density": "lp", "energy": "energy", "acceptance": "acceptance_rate", "num_steps": "n_steps", "diverging": "diverging"}  # fmt: skip
_targets: dict[int, tuple[weakref.ref, AbstractTarget]] = {}  # of results made in this process, while they live


def remember(tree, target: AbstractTarget) -> None:
    """Keep `target` for as long as `tree` lives, so that `extend` need not be told."""
    key = id(tree)
    _targets[key] = (weakref.ref(tree, lambda _: _targets.pop(key, None)), target)


def remembered(tree) -> AbstractTarget | None:
    """The target that `tree` came from, None for a result read from a file."""
    entry = _targets.get(id(tree))
    return entry[1] if entry is not None and entry[0]() is tree else None


def add_standpoint(tree, standpoint: Standpoint) -> None:
    """Add the group `sampler_state`: arrays, numbers and strings only."""
    import xarray

    variables: dict[str, Any] = {
        "x": (("chain", "coordinate"), standpoint.ends.x),
        "log_density": (("chain",), standpoint.ends.log_density),
        "score": (("chain", "coordinate"), standpoint.ends.score),
        "step_size": (("chain",), np.array([tuning.step_size for tuning in standpoint.tunings])),
        "trajectory_length": (("chain",), np.array([tuning.trajectory_length for tuning in standpoint.tunings])),
        "trajectory_jitter": (("chain",), np.array([tuning.jitter for tuning in standpoint.tunings])),
    }
    kinds = []
    for number, chains in enumerate(standpoint.groups):
        kind, arrays = metric_arrays(standpoint.tunings[chains.start].metric)
        kinds.append(kind)
        for name, array in arrays.items():
            dims = tuple(f"metric_{number}_{name}_{axis}" for axis in range(array.ndim))
            variables[f"metric_{number}_{name}"] = (dims, array)
    attributes = {
        "format": FORMAT, "iteration": standpoint.iteration, "kernel": standpoint.kernel,
        "max_tree_depth": standpoint.max_tree_depth, "metrics": json.dumps(kinds),
        "groups": json.dumps([[chains.start, chains.stop] for chains in standpoint.groups]),
    }  # fmt: skip
    tree[GROUP] = xarray.DataTree(xarray.Dataset(variables, attrs=attributes))


def standpoint_of(tree) -> Standpoint:
    """The `Standpoint` in a result.

    **Raises** `OptionError` where there is none, `DataError` for a format of another version.
    """
    _check_whole(tree)
    state = tree[GROUP].to_dataset()
    if state.attrs.get("format") != FORMAT:
        raise DataError(
            f"the group `{GROUP}` has format {state.attrs.get('format')}, this version of Monochord reads {FORMAT}. "
            "Continue with the version that wrote it."
        )
    groups = [slice(*pair) for pair in json.loads(state.attrs["groups"])]
    tunings = []
    for number, (chains, kind) in enumerate(zip(groups, json.loads(state.attrs["metrics"]), strict=True)):
        prefix = f"metric_{number}_"
        arrays = {
            name.removeprefix(prefix): state[name].values for name in state.data_vars if str(name).startswith(prefix)
        }
        metric = metric_from_arrays(kind, arrays)
        for chain in range(chains.start, chains.stop):
            jitter = float(state["trajectory_jitter"][chain]) if "trajectory_jitter" in state else WIDE  # of older runs
            length = float(state["trajectory_length"][chain])
            tunings.append(Tuning(metric, float(state["step_size"][chain]), length, jitter))
    ends = Evaluations(*(np.asarray(state[name].values) for name in ("x", "log_density", "score")))
    return Standpoint(
        ends, int(state.attrs["iteration"]), str(state.attrs["kernel"]), int(state.attrs["max_tree_depth"]),
        tuple(tunings), tuple(groups),
    )  # fmt: skip


def heaviest_mode(tree) -> Gaussian | None:
    """Mean and metric of the heaviest mode of a run over modes; None for another run, and where its metric lies along a map."""
    if "modes" not in tree.children or int(tree["modes"].attrs["along_maps"]):
        return None
    state = tree["modes"].to_dataset()
    prefix = "metric_0_"
    arrays = {str(n).removeprefix(prefix): state[n].values for n in state.data_vars if str(n).startswith(prefix)}
    return Gaussian(state["center"].values[0], metric_from_arrays(json.loads(state.attrs["metrics"])[0], arrays))


def _check_whole(tree) -> None:
    """**Raises** `OptionError` for anything but a result that holds all that a run needs to go on."""
    if isinstance(tree, str | os.PathLike):
        raise OptionError(
            f"`data` is the path {os.fspath(tree)!r}. A run goes on from a result that is open. Pass `monochord.open_store(path)` for a "
            "store, or `xarray.open_datatree(path, engine='h5netcdf')` for a netCDF file, and the model with it."
        )
    missing = [name for name in (GROUP, "unconstrained_posterior") if name not in getattr(tree, "children", {})]
    if not missing:
        return
    if "posterior" in getattr(tree, "children", {}) and "thin" in tree["posterior"].attrs:
        raise OptionError(
            f"this result holds no group `{missing[0]}`: its store was given `keep=` or `thin=`, and holds a part of the run. A longer "
            "run is judged on all its draws. Sample anew without them, or with a larger `target_ess=` or `draws=`."
        )
    if "modes" in getattr(tree, "children", {}):
        raise OptionError(
            "this result holds draws of several modes, mixed by their weights: no chain stands anywhere from which it could go on. Sample "
            "anew with a larger `target_ess=` or `draws=`."
        )
    raise OptionError(
        f"this result holds no group `{missing[0]}`. A run goes on from where its chains stand. Pass a result of "
        "`monochord.sample`, or sample anew."
    )


def add_map(tree, along: AbstractMap | None) -> None:
    """Keep the map of the run, where it has one, beside its standpoint."""
    import xarray

    if along is None:
        return
    state = tree[GROUP].to_dataset()
    for name, array in map_arrays(along).items():
        state[f"map_{name}"] = tuple(f"map_{name}_{axis}" for axis in range(array.ndim)), array
    tree[GROUP] = xarray.DataTree(state)


def along_its_map(tree, target: AbstractTarget) -> AbstractTarget:
    """`target` in the coordinates that the run in `tree` was made in."""
    if GROUP not in tree.children:
        return target
    state = tree[GROUP].to_dataset()
    arrays = {str(n).removeprefix("map_"): state[n].values for n in state.data_vars if str(n).startswith("map_")}
    return mapped(target, map_from_arrays(arrays)) if arrays else target


def segment_of(tree, target: AbstractTarget) -> Segment:
    """The draws of a result in the coordinates of `target`, without scores."""
    stats = tree["sample_stats"]
    x = target.from_unconstrained(tree["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values)
    parts = {ours: np.asarray(stats[theirs].transpose("chain", "draw").values) for ours, theirs in STATISTICS.items()}
    return Segment(x=x, score=x[:, :, :0], **parts)
