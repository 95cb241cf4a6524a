"""A fit in a file and back, bit for bit: an NPZ that holds its own JSON, described in SCHEMA.md. Nothing is pickled.

What is kept is the `FitResult` with the draws of its closing check. An algorithm's inner state (buffers, searches) is
not: a loaded fit says what the fit said, and a run from it ends at once.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monochord.archive import ArchiveReader, archive_bytes, number_from, number_json
from monochord.cost import Cost
from monochord.errors import DataError, OptionError
from monochord.estimate import Estimate
from monochord.files import check_output, write_whole
from monochord.fits._base import AbstractFitState, FitStatus, Mode, Repairs, Scored, StepInfo
from monochord.fits._run import FitResult
from monochord.fits._structure import MetricChoice
from monochord.gaussian import Gaussian
from monochord.maps import AbstractMap, BlockMap, RadialMap, ScaledMap, map_arrays, map_from_arrays
from monochord.metrics import AbstractMetric, metric_arrays, metric_from_arrays
from monochord.spectra import Verdict
from monochord.targets import Evaluations

FORMAT, VERSION = "monochord-fit", 1
CONDITIONAL, RADIAL, BLOCK, SCALED = "conditional", "radial", "block", "scaled"  # kinds of maps
MAP_ROWS = ("center", "unit", "offset", "log_scale", "other_place", "other_log_scale")
MAP_TABLES = ("location", "curvature", "scale", "other_scale")
ESTIMATES = ("elbo", "score_residual", "pareto_k", "indefinite_share", "radial_spread", "gain_over_identity")


def save(fit: FitResult, path: str | os.PathLike, force: bool = False) -> Path:
    """Write `fit` to `path`, all or nothing; see `FitResult.save`."""
    path = check_output(path, force, "fit.npz")
    arrays: dict[str, np.ndarray] = {}
    head = _head(fit, arrays)
    write_whole(path, archive_bytes("fit.json", head, arrays))
    return path


def load(path: str | os.PathLike) -> FitResult:
    """The fit that `FitResult.save` wrote: the same numbers, bit for bit.

    **Raises** `DataError` where the file is missing, damaged, of another kind or of another format version.
    """
    with ArchiveReader(path, "fit.json", FORMAT, VERSION, "a fit") as archive:
        return _fit_from(archive)


def _head(fit: FitResult, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    head: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "names": list(fit.names), "dim": len(fit.names),
        "verdict": fit.judgement.name, "reasons": list(fit.judgement.reasons), "status": fit.status.name,
        "cost": fit.cost._asdict(), "repairs": dataclasses.asdict(fit.repairs), "seed": fit.seed,
        "seconds": number_json(fit.seconds), "metric": None,
    }  # fmt: skip
    if fit.gaussian is not None:
        arrays["mean"] = np.asarray(fit.gaussian.mean, np.float64)
        head["metric"] = _put_metric("metric", fit.gaussian.metric, arrays)
    head["map"] = None if fit.map is None else _put_map(fit.map, arrays)
    head |= {name: _estimate_json(getattr(fit, name)) for name in ESTIMATES}
    worst = fit.worst_coordinate
    head["worst_coordinate"] = worst and {"name": worst[0], "share": _estimate_json(worst[1])}
    if fit.draws is not None:
        arrays |= {f"draws.{name}": value for name, value in fit.draws._asdict().items()}
    head["has_draws"] = fit.draws is not None
    head["modes"] = [
        {
            "elbo": _estimate_json(mode.elbo), "share": number_json(mode.share), "residual": _estimate_json(mode.residual),
            "metric": mode.metric and _put_metric(f"mode{i}.metric", mode.metric, arrays),
        }
        for i, mode in enumerate(fit.modes)
    ]  # fmt: skip
    arrays |= {f"mode{i}.mean": np.asarray(mode.mean, np.float64) for i, mode in enumerate(fit.modes)}
    head["choices"] = [_choice_json(i, choice, fit, arrays) for i, choice in enumerate(fit.choices)]
    head["trace"] = [_step_json(info) for info in fit.trace]
    return head


def _put_metric(prefix: str, metric: AbstractMetric, arrays: dict[str, np.ndarray]) -> str:
    try:
        kind, parts = metric_arrays(metric)
    except TypeError as error:
        raise OptionError(f"this fit cannot be saved: {error}") from None
    arrays |= {f"{prefix}.{name}": value for name, value in parts.items()}
    return kind


def _put_map(along: AbstractMap, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    parts = map_arrays(along)
    depth = parts.pop("depth", None)
    arrays |= {f"map.{name}": value for name, value in parts.items()}
    if isinstance(along, RadialMap):
        return {"kind": RADIAL, "metric": metric_arrays(along.metric)[0]}
    if isinstance(along, BlockMap):
        return {"kind": BLOCK}
    if isinstance(along, ScaledMap):
        return {"kind": SCALED}
    return {"kind": CONDITIONAL, "depth": int(np.asarray(depth))}


def _choice_json(index: int, choice: MetricChoice, fit: FitResult, arrays) -> dict[str, Any]:
    is_chosen = fit.gaussian is not None and choice.metric is fit.gaussian.metric
    return {
        "name": choice.name, "criterion": _estimate_json(choice.criterion), "price": number_json(choice.price),
        "is_chosen": is_chosen, "metric": None if is_chosen else _put_metric(f"choice{index}", choice.metric, arrays),
    }  # fmt: skip


def _step_json(info: StepInfo) -> dict[str, Any]:
    return {
        "stage": info.stage, "step": info.step, "gradients": info.gradients, "elbo": _estimate_json(info.elbo),
        "residual": _estimate_json(info.residual), "best_log_density": number_json(info.best_log_density),
    }  # fmt: skip


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "value": number_json(estimate.value), "standard_error": number_json(estimate.standard_error),
        "num_draws": int(estimate.num_draws),
    }  # fmt: skip


def _estimate(record: Mapping[str, Any] | None) -> Estimate | None:
    if record is None:
        return None
    return Estimate(_float(record["value"]), _float(record["standard_error"]), int(record["num_draws"]))


def _sure_estimate(record: Mapping[str, Any]) -> Estimate:
    found = _estimate(record)
    if found is None:
        raise KeyError("an estimate")
    return found


def _float(value) -> float:
    number = number_from(value)
    if number is None:
        raise KeyError("a number")
    return number


def _fit_from(archive: ArchiveReader) -> FitResult:
    head = archive.head
    names, dim = tuple(map(str, head["names"])), int(head["dim"])
    if len(names) != dim:
        raise DataError(f"`{archive.path}` is damaged: it has {len(names)} names for {dim} coordinates.")
    gaussian = None
    if head["metric"] is not None:
        gaussian = Gaussian(archive.array("mean", (dim,)), _metric(archive, "metric.", head["metric"], dim))
    check = None
    if head["has_draws"]:
        x = archive.array("draws.x", (None, dim))
        check = Evaluations(x, archive.array("draws.log_density", (len(x),)), archive.array("draws.score", x.shape))
    estimates: dict[str, Any] = {name: _estimate(head[name]) for name in ESTIMATES}
    worst, status, cost = head["worst_coordinate"], FitStatus[head["status"]], Cost(**head["cost"])
    repairs = Repairs(**head["repairs"])
    fit = FitResult(
        gaussian=gaussian, **estimates, status=status, cost=cost, repairs=repairs, names=names, state=None,
        worst_coordinate=worst and (str(worst["name"]), _sure_estimate(worst["share"])),
        judgement=Verdict(head["verdict"], tuple(map(str, head["reasons"]))),
        trace=tuple(_step(record) for record in head["trace"]),
        modes=tuple(
            Mode(
                archive.array(f"mode{i}.mean", (dim,)), _sure_estimate(mode["elbo"]), _float(mode["share"]),
                _metric(archive, f"mode{i}.metric.", mode["metric"], dim) if mode.get("metric") else None,
                _estimate(mode.get("residual")),
            )
            for i, mode in enumerate(head["modes"])
        ),
        choices=tuple(_choice(archive, i, record, gaussian, dim) for i, record in enumerate(head["choices"])),
        map=_map(archive, head["map"], dim), seed=head["seed"], seconds=_float(head["seconds"]),
    )  # fmt: skip
    return dataclasses.replace(fit, state=_state(fit, check))


def _state(fit: FitResult, check: Evaluations | None) -> AbstractFitState:
    """A state at its end with what the driver reads of one."""
    best = None
    if fit.gaussian is not None and fit.elbo is not None and fit.score_residual is not None:
        worst = fit.worst_coordinate[1].value if fit.worst_coordinate is not None else 0.0
        best = Scored(fit.gaussian, fit.elbo, fit.score_residual, worst=worst)
    return AbstractFitState(
        "done", len(fit.trace), fit.status, fit.cost, fit.repairs, fit.gaussian, best, check, 0,
        indefinite=fit.indefinite_share, radial=fit.radial_spread, gain=fit.gain_over_identity,
    )  # fmt: skip


def _metric(archive: ArchiveReader, prefix: str, kind: str, dim: int) -> AbstractMetric:
    shapes: dict[str, dict[str, tuple[int | None, ...]]] = {
        "diagonal": {"scale": (dim,)},
        "dense": {"factor": (dim, dim), "inverse_factor": (dim, dim)},
        "low_rank": {"scale": (dim,), "basis": (dim, None), "eigenvalues": (None,)},
    }
    if kind not in shapes:
        raise DataError(f"`{archive.path}` is damaged: the metric kind {kind!r} is not one of {', '.join(shapes)}.")
    arrays = {name: archive.array(prefix + name, shape) for name, shape in shapes[kind].items()}
    return metric_from_arrays(kind, arrays)


def _map(archive: ArchiveReader, record: Mapping[str, Any] | None, dim: int) -> AbstractMap | None:
    if record is None:
        return None
    if record["kind"] == RADIAL:
        mean, metric = archive.array("map.mean", (dim,)), _metric(archive, "map.metric_", record["metric"], dim)
        degrees = float(archive.array("map.degrees", ()))
        if not 0.0 < degrees < np.inf:
            raise DataError(f"`{archive.path}` is damaged: its map has {degrees} degrees of freedom.")
        return RadialMap.student(mean, metric, float(archive.array("map.log_scale", ())), degrees)
    if record["kind"] == BLOCK:
        return _block_map(archive, dim)
    if record["kind"] == SCALED:
        return _scaled_map(archive, dim)
    if record["kind"] != CONDITIONAL:
        kinds = ", ".join((CONDITIONAL, RADIAL, BLOCK, SCALED))
        raise DataError(f"`{archive.path}` is damaged: the map kind {record['kind']!r} is none of {kinds}.")
    drivers = archive.array("map.drivers", (dim, None), np.int64)
    rows = {name: archive.array(f"map.{name}", (dim,)) for name in MAP_ROWS}
    tables = {name: archive.array(f"map.{name}", drivers.shape) for name in MAP_TABLES}
    level, depth = archive.array("map.level", (dim,), np.int64), int(record["depth"])
    if np.any((drivers < 0) | (drivers >= dim)) or np.any((level < 0) | (level > depth)):
        raise DataError(f"`{archive.path}` is damaged: its map leans on coordinates or levels that are not there.")
    return map_from_arrays({"drivers": drivers, "level": level, **rows, **tables, "depth": np.asarray(depth)})


def _block_map(archive: ArchiveReader, dim: int) -> AbstractMap:
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
        raise DataError(f"`{archive.path}` is damaged: its map leans on coordinates that are not there.")
    return map_from_arrays({"members": members, **places, "exponents": exponents, **terms, **rows})


def _scaled_map(archive: ArchiveReader, dim: int) -> AbstractMap:
    multipliers = archive.array("map.multipliers", (None, None), np.int64)
    children = archive.array("map.children", (len(multipliers),), np.int64)
    rows = {name: archive.array(f"map.{name}", (len(children),)) for name in ("prior", "growth", "pull")}
    slopes, center = archive.array("map.slopes", multipliers.shape), archive.array("map.center", (dim,))
    places = np.concatenate([children, multipliers.ravel()])
    if np.any((places < 0) | (places >= dim)) or np.any(np.isin(children, multipliers)):
        raise DataError(
            f"`{archive.path}` is damaged: its map leans on coordinates that are not there, or that it moves."
        )
    return map_from_arrays(
        {"children": children, "multipliers": multipliers, "slopes": slopes, "center": center, **rows}
    )


def _choice(archive: ArchiveReader, index: int, record, gaussian: Gaussian | None, dim: int) -> MetricChoice:
    if record["is_chosen"]:
        if gaussian is None:
            raise KeyError("the chosen metric")
        metric = gaussian.metric
    else:
        metric = _metric(archive, f"choice{index}.", record["metric"], dim)
    return MetricChoice(str(record["name"]), metric, _sure_estimate(record["criterion"]), _float(record["price"]))


def _step(record: Mapping[str, Any]) -> StepInfo:
    return StepInfo(
        str(record["stage"]), int(record["step"]), int(record["gradients"]), _estimate(record["elbo"]),
        _estimate(record["residual"]), number_from(record["best_log_density"]),
    )  # fmt: skip
