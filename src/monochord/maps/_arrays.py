"""A map as named arrays and back, for stores and files; nothing is pickled."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from monochord.maps._base import AbstractMap
from monochord.maps._block import BlockMap
from monochord.maps._bordered import BorderedMap
from monochord.maps._cholesky import CholeskyMap
from monochord.maps._conditional import ConditionalMap
from monochord.maps._noded import NodedMap
from monochord.maps._radial import RadialMap
from monochord.maps._scaled import ScaledMap
from monochord.maps._tail import FIELDS as TAIL_FIELDS
from monochord.maps._tail import TailMap
from monochord.metrics import metric_arrays, metric_from_arrays
from monochord.metrics._arrays import FIELDS

METRIC = "metric_"


def map_arrays(along: AbstractMap) -> dict[str, np.ndarray]:
    """All that a map holds, by name, for a file. **Raises** `TypeError` for a map of another class."""
    if isinstance(along, ConditionalMap | BlockMap | BorderedMap | NodedMap | CholeskyMap | ScaledMap):
        return {field.name: np.asarray(getattr(along, field.name)) for field in dataclasses.fields(along)}
    if isinstance(along, RadialMap):
        _, parts = metric_arrays(along.metric)
        rows = {name: np.asarray(getattr(along, name), np.float64) for name in ("mean", "log_scale", "degrees")}
        return rows | {METRIC + name: part for name, part in parts.items()}
    if isinstance(along, TailMap):
        return {name: np.asarray(getattr(along, name), np.float64) for name in TAIL_FIELDS}
    raise TypeError(
        f"a {type(along).__name__} has no stored form. Only `ConditionalMap`, `BlockMap`, `BorderedMap`, `NodedMap`, `CholeskyMap`, `RadialMap`, `ScaledMap` and `TailMap` have one."
    )


def map_from_arrays(arrays: Mapping[str, np.ndarray]) -> AbstractMap:
    """The map that `map_arrays` described; its class and that of its metric are told by the names."""
    if "ties" in arrays:
        return CholeskyMap(**arrays)
    if "reach" in arrays and "border" in arrays:
        return NodedMap(**arrays)
    if "border" in arrays:
        return BorderedMap(**arrays)
    if "members" in arrays:
        return BlockMap(**arrays)
    if "multipliers" in arrays:
        number, dim = len(arrays["children"]), len(arrays["center"])
        return ScaledMap(
            **{"edge": np.full(dim, np.inf), "power": np.zeros(number), **arrays}
        )  # older runs have neither
    if "drivers" in arrays:
        return ConditionalMap(**{**arrays, "depth": int(arrays["depth"])})
    if "skewness" in arrays:
        return TailMap.of(**{name: np.asarray(arrays[name]) for name in TAIL_FIELDS})
    parts = {name.removeprefix(METRIC): array for name, array in arrays.items() if name.startswith(METRIC)}
    kind = next(kind for kind, (_, fields) in FIELDS.items() if set(fields) == set(parts))
    metric = metric_from_arrays(kind, parts)
    return RadialMap.student(np.asarray(arrays["mean"]), metric, float(arrays["log_scale"]), float(arrays["degrees"]))
