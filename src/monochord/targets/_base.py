"""`AbstractTarget`: what is sampled, as a flat log density with names."""

import abc
import contextlib
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array, Key
from monochord.errors import DataError, ModelError, MonochordError, OptionError
from monochord.targets._hierarchy import Hierarchy
from monochord.targets._labels import Labels


class AbstractTarget(eqx.Module):
    """A posterior on flat unconstrained coordinates.

    A pytree: data are its leaves, so that compiled functions take them as arguments and a second
    data set of the same shape compiles nothing; the model and all names are static.
    """

    center: eqx.AbstractVar[Float[Array, " dim"]]
    names: eqx.AbstractVar[tuple[str, ...]]

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return len(self.names)

    @property
    def vectorised(self) -> bool:
        """Whether many points may be evaluated as lanes of one program; False where each chain needs a thread of its own."""
        return True

    @abc.abstractmethod
    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density at one point of unconstrained space, log Jacobians included, constants free."""

    @abc.abstractmethod
    def constrain(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        """The user's parameters and derived quantities at one unconstrained point, by name."""

    def to_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """Points in the model's own unconstrained coordinates, on the host; a target along a map has others."""
        return x

    def from_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """The inverse of `to_unconstrained`."""
        return x

    def log_step(self, x: Float[Array, " dim"]) -> Float[Array, ""] | None:
        """Logarithm of the leapfrog step that suits the point x, over that which suits most others; None where one step suits all."""
        return None

    @property
    def host(self) -> "AbstractTarget | None":
        """The `HostTarget` that this is, or is along a map; None where JAX sees the density."""
        return None

    def moved(self, x: Float[Array, " dim"]) -> tuple[Array, Array]:
        """Where `host` is asked for x, and what is added to its log density."""
        return x, jnp.zeros((), x.dtype)

    @property
    def unmapped(self) -> "AbstractTarget":
        """The target in the model's own coordinates: this one, unless it lies along a map."""
        return self

    def observed_data(self) -> dict[str, np.ndarray]:
        """Data arrays by name, for the output's `observed_data` group."""
        return {}

    def completed(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """`data` with what they leave to the target itself; nothing by default."""
        return data

    def group(self, group: str, x: np.ndarray, key: Key) -> dict[str, np.ndarray]:
        """Arrays of an output group such as "log_likelihood", leading axis len(`x`), for unconstrained draws `x`.

        **Raises** `OptionError` where the model cannot tell them.
        """
        raise OptionError(
            f"the group `{group}` was asked for, but a {type(self).__name__} knows its log density only as a whole. NumPyro, PyMC and "
            "Bambi models know its parts. Compute them with `constrain`, or write the model there."
        )

    def hierarchies(self) -> tuple[Hierarchy, ...]:
        """Parameters whose location and scale are other parameters, with the lines that write them otherwise; empty where the model cannot tell."""
        return ()

    def constant_data(self) -> dict[str, np.ndarray]:
        """Other data arrays by name, for the output's `constant_data` group."""
        return {}

    def output_labels(self) -> Labels:
        """Names of the axes of reported quantities and data, and of the places along them."""
        return getattr(self, "labels", None) or Labels()


def reported_shapes(target: AbstractTarget) -> dict[str, tuple[int, ...]]:
    """Shapes of what `constrain` returns, by name, without computing it."""
    x = jax.ShapeDtypeStruct(np.shape(target.center), jax.dtypes.canonicalize_dtype(float))
    with evaluating(type(target)):
        return {name: value.shape for name, value in jax.eval_shape(target.constrain, x).items()}


def split_data(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """Split data into traced leaves (arrays, lists, nested containers of them) and static values.

    Python numbers, strings, booleans and None stay as they are: a model may use them as sizes or
    in `if`. NumPy's numbers are traced, `numpy.float64` too, although it is a Python float to `isinstance`.

    **Raises** `DataError` for names that are not strings, ragged lists, and arrays of anything but numbers.
    """
    traced, static = {}, []
    for name, value in data.items():
        if not isinstance(name, str):
            raise DataError(f"the data have the name {name!r}. Data are passed to the model by name. Use strings.")
        if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.number)):
            static.append((name, value))
        else:
            traced[name] = jax.tree.map(partial(_as_numeric, name), value, is_leaf=_is_numeric_list)
    return traced, tuple(sorted(static, key=lambda item: item[0]))


def lists_as_arrays(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """`data` with lists of numbers as arrays, since JSON has no arrays; anything else stays as it is."""
    return {name: _array_or_itself(value) for name, value in dict(data or {}).items()}


def _array_or_itself(value):
    if not isinstance(value, (list, tuple)):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        return value
    return array if array.dtype.kind in "biuf" else value


def with_data(target, data: Mapping[str, Any]):
    """`target` with other data of the same names, shapes and static values, so that nothing compiles anew.

    **Raises** `DataError` where they differ, naming the field.
    """
    if not hasattr(target, "traced_data"):
        raise DataError(f"a {type(target).__name__} holds no data by name. Make a target for each data set instead.")
    traced, static = split_data(target.completed(data))
    old = target.traced_data
    for name in sorted(set(old) | set(traced)):
        shapes = [jax.tree.map(np.shape, part.get(name)) for part in (old, traced)]
        if name not in old or name not in traced or shapes[0] != shapes[1]:
            raise DataError(
                f"the data field `{name}` has shape {shapes[1]}, where the target's has {shapes[0]}. Another shape would "
                "compile the model anew. Pad the data to one shape, or make a target for each."
            )
    if static != target.static_data:
        raise DataError(
            f"the plain numbers and strings in the data are {dict(static)}, where the target's are "
            f"{dict(target.static_data)}. They are fixed when the model is compiled. Pass numbers that vary as arrays."
        )
    return eqx.tree_at(
        lambda t: t.traced_data, target, {name: jax.tree.map(_like, old[name], traced[name]) for name in old}
    )


def _like(old, new):
    """`new` in the type of `old` where nothing but precision can be lost: another type would compile anew."""
    new, kind = np.asarray(new), np.asarray(old).dtype
    return new.astype(kind) if np.can_cast(new.dtype, kind, "same_kind") else new


def _is_numeric_list(value) -> bool:
    return value is None or isinstance(value, (list, tuple, str))


def _as_numeric(name: str, value):
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"the data field `{name}` is a ragged list ({error}). Arrays need rows of one length. Pad or split it."
        ) from None
    if array.dtype.kind not in "biufc":
        wrong = next((v for v in _flat(value) if not isinstance(v, (bool, int, float, complex, np.number))), value)
        raise DataError(
            f"the data field `{name}` holds {wrong!r:.60}, which is not a number that JAX can hold. Densities are functions "
            "of numbers. Encode text as integers; give missing values a number or drop them."
        )
    return array


def _flat(value):
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _flat(entry)
    elif isinstance(value, np.ndarray):
        yield from value.ravel().tolist()
    else:
        yield value


@contextlib.contextmanager
def evaluating(model: Any):
    """Turn whatever the model raises while it is traced into a `ModelError` that keeps it as its cause."""
    try:
        yield
    except MonochordError:
        raise
    except Exception as error:
        name = getattr(model, "__name__", "the model")
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"`{name}` could not be evaluated: {type(error).__name__}: {first} Nothing can be sampled before it runs. "
            "Mend the line that the traceback shows, or check the shapes and types of the data."
        ) from error


def check_names(names) -> None:
    """**Raises** `ModelError` for quantities that the output could not tell apart or keeps for itself."""
    seen = set()
    for name in names:
        plain = output_name(name)
        if plain in ("chain", "draw"):
            raise ModelError(
                f"a quantity is named `{name}`. The output's axes are called chain and draw. Rename it in the model."
            )
        if plain in seen:
            raise ModelError(
                f"two quantities share the name `{plain}`. One of them would be lost in the output. Rename one in the model."
            )
        seen.add(plain)


def output_name(name: str) -> str:
    """The name in the output: slashes separate groups there, so dots take their place."""
    return name.replace("/", ".") or "unnamed"


def cut(x: Float[Array, " dim"], shapes) -> list[Array]:
    """A flat point cut into arrays of `shapes`, in order."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(x[start : start + size].reshape(shape))
        start += size
    return parts


def scalar_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """Names of the entries of one parameter: ``beta`` or ``beta[0]``, ``beta[1]``; 0-based as in ArviZ."""
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(*shape)]
