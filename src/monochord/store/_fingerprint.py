"""What a model and its data hash to, part by part, so that a changed one is refused and the change is named."""

import hashlib
import inspect
import re
from typing import Any

import jax
import numpy as np

from monochord.errors import OptionError
from monochord.targets import AbstractTarget, HostTarget

ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def fingerprint(target: AbstractTarget) -> dict[str, str]:
    """SHA-256 of the coordinates, of the traced log density and reported quantities, and of each array of the data.

    The trace (a jaxpr) does not depend on comments or names in the source. Of a target whose functions JAX cannot see into
    (`vectorised` False), the source is hashed too; of a host target the source, the data and values at two points.
    """
    found = {"coordinates": _hash("\n".join(target.names))}
    if isinstance(target, HostTarget):
        return found | _of_host(target)
    x = jax.ShapeDtypeStruct((target.dim,), jax.dtypes.canonicalize_dtype(float))
    traced = {"log density": lambda t, x: t.log_density(x), "reported quantities": lambda t, x: t.constrain(x)}
    for name, function in traced.items():
        found[f"the {name}"] = _of_jaxpr(function, target, x)
    for path, leaf in jax.tree_util.tree_flatten_with_path(target)[0]:
        found[f"`{'.'.join(_entry(entry) for entry in path).removeprefix('traced_data.')}`"] = _of_array(leaf)
    if not target.vectorised:
        found["the source"] = _of_source(target)
    return found


def _of_host(target: HostTarget) -> dict[str, str]:
    """Nine digits of values count, so that sums in another order change nothing. Costs two gradients."""
    center = np.asarray(target.center, np.float64)
    points = center + np.outer([0.0, 0.1], np.sin(1.0 + np.arange(target.dim)))
    values, scores = target.evaluate_on_host(points)
    reported = target.constrain_on_host(points)
    found = {
        "the log density": _hash(_digits(values), _digits(scores)),
        "the reported quantities": _hash(
            *(part for name in sorted(reported) for part in (name, _digits(reported[name])))
        ),
        "the source": _hash(*(_text(function) for function in target.model.functions())),
    }
    return found | {f"`{name}`": _of_array(value) for name, value in target.observed_data().items()}


def _digits(values: np.ndarray) -> str:
    return " ".join(f"{value:.8e}" for value in np.ravel(values))


def check_same(stored: dict[str, str], target: AbstractTarget) -> None:
    """**Raises** `OptionError` naming the parts of `target` that differ from the model of a store."""
    now = fingerprint(target)
    changed = [name for name in sorted({*stored, *now}) if stored.get(name) != now.get(name)]
    if changed:
        verb = "has" if len(changed) == 1 else "have"
        raise OptionError(
            f"the model is not the one that the store was begun with: {', '.join(changed)} {verb} changed. Draws of two posteriors "
            "must not be mixed. Pass the model and data of that run, or begin a new run in another store."
        )


def _entry(entry) -> str:
    return str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", entry))))


def _of_jaxpr(function, target, x) -> str:
    closed = jax.make_jaxpr(function)(target, x)  # data are arguments, and no part of the trace
    text = ADDRESS.sub("0x", str(closed.jaxpr))
    return _hash(text, *(_of_array(value) for value in _constants(closed)))


def _constants(closed) -> list[Any]:
    """Arrays that the trace closes over, those of inner functions too."""
    found = list(closed.consts)
    for equation in closed.jaxpr.eqns:
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "jaxpr")):
            if hasattr(value, "jaxpr") and hasattr(value, "consts"):
                found += _constants(value)
    return found


def _of_array(value) -> str:
    array = np.ascontiguousarray(np.asarray(value))
    return _hash(str(array.dtype), str(array.shape), array.tobytes())


def _of_source(target: AbstractTarget) -> str:
    static = [value for value in vars(target).values() if callable(value) or isinstance(value, str | bytes)]
    return _hash(*(_text(value) for value in static))


def _text(value) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return getattr(value, "__qualname__", type(value).__qualname__)


def _hash(*parts: str | bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        total.update(str(len(content)).encode() + b":" + content)
    return total.hexdigest()
