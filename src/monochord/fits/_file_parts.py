"""Metrics and maps in the file of a fit; SCHEMA.md describes them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from monochord.archive import ArchiveReader
from monochord.errors import DataError, OptionError
from monochord.maps import (
    AbstractMap,
    BlockMap,
    BorderedMap,
    CholeskyMap,
    ConditionalMap,
    NodedMap,
    RadialMap,
    ScaledMap,
    TailMap,
    map_arrays,
    map_from_arrays,
)
from monochord.maps._cholesky import is_complete
from monochord.metrics import AbstractMetric, metric_arrays, metric_from_arrays

MAP_ROWS = ("center", "unit", "offset", "log_scale", "other_place", "other_log_scale")
MAP_TABLES = ("location", "curvature", "scale", "other_scale")
TAIL_ROWS = ("loc", "scale", "skewness", "tail", "reach", "degrees")
NOT_THERE = "its map leans on coordinates that are not there"


def put_metric(prefix: str, metric: AbstractMetric, arrays: dict[str, np.ndarray]) -> str:
    try:
        kind, parts = metric_arrays(metric)
    except TypeError as error:
        raise OptionError(f"this fit cannot be saved: {error}") from None
    arrays |= {f"{prefix}.{name}": value for name, value in parts.items()}
    return kind


def put_map(along: AbstractMap, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    parts = map_arrays(along)
    depth = parts.pop("depth", None)
    arrays |= {f"map.{name}": value for name, value in parts.items()}
    head: dict[str, Any] = {"kind": next(kind for kind, (sort, _) in KINDS.items() if isinstance(along, sort))}
    if isinstance(along, RadialMap):
        head["metric"] = metric_arrays(along.metric)[0]
    return head if depth is None else head | {"depth": int(np.asarray(depth))}


def read_metric(archive: ArchiveReader, prefix: str, kind: str, dim: int) -> AbstractMetric:
    shapes: dict[str, dict[str, tuple[int | None, ...]]] = {
        "diagonal": {"scale": (dim,)},
        "dense": {"factor": (dim, dim), "inverse_factor": (dim, dim)},
        "low_rank": {"scale": (dim,), "basis": (dim, None), "eigenvalues": (None,)},
    }
    if kind not in shapes:
        raise _damaged(archive, f"the metric kind {kind!r} is not one of {', '.join(shapes)}")
    arrays = {name: archive.array(prefix + name, shape) for name, shape in shapes[kind].items()}
    return metric_from_arrays(kind, arrays)


def read_map(archive: ArchiveReader, record: Mapping[str, Any] | None, dim: int) -> AbstractMap | None:
    if record is None:
        return None
    if record["kind"] not in KINDS:
        raise _damaged(archive, f"the map kind {record['kind']!r} is none of {', '.join(KINDS)}")
    return KINDS[record["kind"]][1](archive, record, dim)


def _radial_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    mean, metric = archive.array("map.mean", (dim,)), read_metric(archive, "map.metric_", record["metric"], dim)
    degrees = float(archive.array("map.degrees", ()))
    if not 0.0 < degrees < np.inf:
        raise _damaged(archive, f"its map has {degrees} degrees of freedom")
    return RadialMap.student(mean, metric, float(archive.array("map.log_scale", ())), degrees)


def _conditional_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    drivers = archive.array("map.drivers", (dim, None), np.int64)
    rows = {name: archive.array(f"map.{name}", (dim,)) for name in MAP_ROWS}
    tables = {name: archive.array(f"map.{name}", drivers.shape) for name in MAP_TABLES}
    level, depth = archive.array("map.level", (dim,), np.int64), int(record["depth"])
    if np.any((drivers < 0) | (drivers >= dim)) or np.any((level < 0) | (level > depth)):
        raise _damaged(archive, "its map leans on coordinates or levels that are not there")
    return map_from_arrays({"drivers": drivers, "level": level, **rows, **tables, "depth": np.asarray(depth)})


def _block_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    members = archive.array("map.members", (None, None), np.int64)
    places = {name: archive.array(f"map.{name}", (None,), np.int64) for name in ("scale_drivers", "drivers")}
    exponents = archive.array("map.exponents", (None, len(places["scale_drivers"])))
    shapes = {"precision": members.shape[1], "shift": 1 + len(places["drivers"])}
    terms = {
        name: archive.array(f"map.{name}", (len(exponents), *members.shape, last)) for name, last in shapes.items()
    }
    rows = {name: archive.array(f"map.{name}", (dim,)) for name in ("center", "unit")}
    drives = np.concatenate(list(places.values()))
    if np.any((members < 0) | (members > dim)) or np.any((drives < 0) | (drives >= dim)):
        raise _damaged(archive, NOT_THERE)
    return map_from_arrays({"members": members, **places, "exponents": exponents, **terms, **rows})


def _bordered_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    """Of one set of precisions, or with a first axis of nodes."""
    members = archive.array("map.members", (None, None), np.int64)
    border, scales = (archive.array(f"map.{name}", (None,), np.int64) for name in ("border", "scales"))
    exponents = archive.array("map.exponents", (None, len(scales)))
    several: dict[str, np.ndarray] = {}
    terms: tuple[int | None, ...] = (len(exponents),)
    if record["kind"] == "noded":
        several = {"given": archive.array("map.given", (1,), np.int64), "reach": archive.array("map.reach", ())}
        terms = (len(archive.array("map.border_pull", (None, len(exponents), len(border)))), len(exponents))
    width, given = members.shape[1], several.get("given", np.zeros(0, np.int64))
    shapes: dict[str, tuple[int | None, ...]] = {
        "precision": (*terms, *members.shape, width),
        "coupling": (*terms, *members.shape, len(border)),
        "border_precision": (*terms, len(border), len(border)),
        "pull": (*terms, *members.shape),
        "border_pull": (*terms, len(border)),
        "center": (dim,),
    }
    parts = {name: archive.array(f"map.{name}", shape) for name, shape in shapes.items()}
    moved, kept = np.concatenate([members[members < dim], border]), np.concatenate([scales, given])
    if np.any((members < 0) | (members > dim)) or np.any((moved < 0) | (moved >= dim)) or np.any(np.isin(moved, kept)):
        raise _damaged(archive, NOT_THERE)
    if np.any((kept < 0) | (kept >= dim)) or len(set(moved.tolist())) < len(moved):
        raise _damaged(archive, NOT_THERE)
    if several and not several["reach"] > 0:
        raise _damaged(archive, "the nodes of its map do not rise")
    return map_from_arrays(
        {"members": members, "border": border, "scales": scales, "exponents": exponents, **parts, **several}
    )


def _cholesky_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    places = {name: archive.array(f"map.{name}", (None,), np.int64) for name in ("members", "drivers")}
    width, both = len(places["members"]), np.concatenate(list(places.values()))
    rows = {name: archive.array(f"map.{name}", (dim,)) for name in ("center", "unit")}
    location, log_scale = (archive.array(f"map.{name}", (None, width)) for name in ("location", "log_scale"))
    ties = archive.array("map.ties", (len(log_scale), width * (width - 1) // 2))
    if np.any((both < 0) | (both >= dim)) or len(set(both.tolist())) < len(both):
        raise _damaged(archive, NOT_THERE)
    if not is_complete(len(location), len(log_scale), len(places["drivers"])):
        raise _damaged(archive, "the polynomials of its map lack terms")
    return map_from_arrays({**places, **rows, "location": location, "ties": ties, "log_scale": log_scale})


def _tail_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    try:
        return map_from_arrays({name: archive.array(f"map.{name}", (dim,)) for name in TAIL_ROWS})
    except ValueError as error:
        raise _damaged(archive, f"its map is none. {error}".rstrip(".")) from None


def _scaled_map(archive: ArchiveReader, record, dim: int) -> AbstractMap:
    multipliers = archive.array("map.multipliers", (None, None), np.int64)
    children = archive.array("map.children", (len(multipliers),), np.int64)
    rows = {name: archive.array(f"map.{name}", (len(children),)) for name in ("prior", "growth", "pull", "power")}
    slopes = archive.array("map.slopes", multipliers.shape)
    center, edge = (archive.array(f"map.{name}", (dim,)) for name in ("center", "edge"))
    places = np.concatenate([children, multipliers.ravel()])
    if np.any((places < 0) | (places >= dim)) or np.any(np.isin(children, multipliers)):
        raise _damaged(archive, "its map leans on coordinates that are not there, or that it moves")
    return map_from_arrays(
        {"children": children, "multipliers": multipliers, "slopes": slopes, "center": center, "edge": edge, **rows}
    )


def _damaged(archive: ArchiveReader, why: str) -> DataError:
    return DataError(f"`{archive.path}` is damaged: {why}.")


KINDS: dict[str, tuple[type[AbstractMap], Callable[[ArchiveReader, Mapping[str, Any], int], AbstractMap]]] = {
    "conditional": (ConditionalMap, _conditional_map),
    "radial": (RadialMap, _radial_map),
    "block": (BlockMap, _block_map),
    "bordered": (BorderedMap, _bordered_map),
    "noded": (NodedMap, _bordered_map),
    "cholesky": (CholeskyMap, _cholesky_map),
    "tail": (TailMap, _tail_map),
    "scaled": (ScaledMap, _scaled_map),
}
