"""Values of ours as bytes and back, without pickles: a JSON document and the arrays it refers to, in one `.npz` file.

A value is a number, string, None, array, container, enumeration member, or a dataclass, named tuple or Equinox module
defined in Monochord. Two references to one object are still one object after reading: fits compare by identity. Numbers
come back bit for bit. Reading makes no object of a class outside Monochord and calls no constructor.
"""

import dataclasses
import enum
import importlib
import io
import json
from typing import Any

import jax
import numpy as np

from monochord.errors import DataError

ROOT = "monochord."
PLAIN = (type(None), bool, int, str)


def to_bytes(value: Any) -> bytes:
    """The bytes of `value`.

    **Raises** `TypeError` for a value of another kind.
    """
    writer = _Writer()
    document = json.dumps(writer.node(value))
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, document=np.array(document), **writer.arrays)
    return file.getvalue()


def from_bytes(content: bytes) -> Any:
    """The value of `to_bytes`.

    **Raises** `DataError` for bytes that it did not write.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _Reader(arrays).value(json.loads(str(arrays["document"])))
    except (ValueError, KeyError, OSError, AttributeError, ImportError, TypeError) as error:
        raise DataError(
            f"a snapshot in the store cannot be read ({error}). Another version of Monochord wrote it, or it is damaged. Use that "
            "version, or sample anew."
        ) from error


class _Writer:
    """Nodes of a document; an object that was met before is a reference to its number."""

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[int, Any]] = {}  # the object itself is kept, so that no id is used twice

    def node(self, value: Any) -> Any:
        if isinstance(value, PLAIN) and not isinstance(value, enum.Enum):
            return value
        if isinstance(value, float) and not isinstance(value, np.generic):
            return {"float": value.hex()}
        if id(value) in self._seen:
            return {"same": self._seen[id(value)][0]}
        number = len(self._seen)
        self._seen[id(value)] = number, value
        return {"number": number, **self._object(value)}

    def _object(self, value: Any) -> dict[str, Any]:
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            kind = "scalar" if isinstance(value, np.generic) else "array" if isinstance(value, np.ndarray) else "device"
            name = f"a{len(self.arrays)}"
            self.arrays[name] = np.asarray(value)
            return {kind: name}
        if isinstance(value, slice):
            return {"slice": [self.node(part) for part in (value.start, value.stop, value.step)]}
        if isinstance(value, dict):
            return {"dict": [[self.node(key), self.node(entry)] for key, entry in value.items()]}
        if isinstance(value, list):
            return {"list": [self.node(entry) for entry in value]}
        name = _name(type(value))
        if isinstance(value, tuple) and type(value) is not tuple:
            return {"named": name, "fields": [self.node(entry) for entry in value]}
        if isinstance(value, tuple):
            return {"tuple": [self.node(entry) for entry in value]}
        if isinstance(value, enum.Enum):
            return {"member": name, "of": value.name}
        if dataclasses.is_dataclass(value):
            fields = {field.name: self.node(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"class": name, "fields": fields}
        raise TypeError(f"a {type(value).__name__} has no stored form")


class _Reader:
    """Values of nodes, in the order in which they were written."""

    def __init__(self, arrays):
        self._arrays, self._made = arrays, {}

    def value(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if "float" in node:
            return float.fromhex(node["float"])
        if "same" in node:
            return self._made[node["same"]]
        made = self._made[node["number"]] = self._object(node)
        return made

    def _object(self, node: dict[str, Any]) -> Any:
        if "array" in node:
            return self._arrays[node["array"]]
        if "scalar" in node:
            return self._arrays[node["scalar"]][()]
        if "device" in node:
            return jax.numpy.asarray(self._arrays[node["device"]])
        if "slice" in node:
            return slice(*map(self.value, node["slice"]))
        if "dict" in node:
            return {self.value(key): self.value(entry) for key, entry in node["dict"]}
        if "list" in node:
            return [self.value(entry) for entry in node["list"]]
        if "tuple" in node:
            return tuple(self.value(entry) for entry in node["tuple"])
        if "named" in node:
            return _class(node["named"])._make(self.value(entry) for entry in node["fields"])
        if "member" in node:
            return _class(node["member"])[node["of"]]
        made = object.__new__(_class(node["class"]))
        for name, entry in node["fields"].items():
            object.__setattr__(made, name, self.value(entry))
        return made


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> Any:
    module, _, qualified = name.partition(":")
    if not module.startswith(ROOT) or "." in qualified:
        raise DataError(f"a snapshot in the store names the class `{name}`, which is not Monochord's. It is damaged.")
    found = getattr(importlib.import_module(module), qualified)
    if not isinstance(found, type):
        raise DataError(f"a snapshot in the store names `{name}`, which is no class. It is damaged.")
    return found
