"""`CallableTarget`: a JAX log density on any pytree of unconstrained parameters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.errors import ModelError
from monochord.targets._base import (
    AbstractTarget,
    check_names,
    cut,
    evaluating,
    reported_shapes,
    scalar_names,
    split_data,
)
from monochord.targets._labels import Labels


@final
class CallableTarget(AbstractTarget):
    """``log_density(params, **data)`` on a pytree of unconstrained parameters.

    Build it with `callable_target`.
    """

    center: Float[Array, " dim"]
    traced_data: dict[str, Any]
    static_data: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    function: Callable = eqx.field(static=True)
    constrain_function: Callable | None = eqx.field(static=True)
    treedef: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    leaf_names: tuple[str, ...] = eqx.field(static=True)
    labels: Labels = eqx.field(static=True)

    def log_density(self, x):
        with evaluating(self.function):
            value = self.function(self.unravel(x), **self._data())
        return _checked_scalar(value, self.function)

    def constrain(self, x):
        params = self.unravel(x)
        if self.constrain_function is None:
            return dict(zip(self.leaf_names, jax.tree.leaves(params), strict=True))
        with evaluating(self.constrain_function):
            quantities = self.constrain_function(params, **self._data())
        return _checked_quantities(quantities)

    def unravel(self, x: Float[Array, " dim"]) -> Any:
        """The user's pytree at a flat point."""
        return jax.tree.unflatten(self.treedef, cut(x, self.shapes))

    def observed_data(self):
        return {name: np.asarray(value) for name, value in self.traced_data.items() if hasattr(value, "dtype")}

    def _data(self):
        return {**self.traced_data, **dict(self.static_data)}


def callable_target(
    log_density: Callable,
    init: Any,
    data: Mapping[str, Any] | None = None,
    constrain: Callable | None = None,
    labels: Labels | None = None,
) -> CallableTarget:
    """Target from a JAX log density.

    `log_density(params, **data)` returns the log density of the unconstrained `params` (a pytree
    shaped like `init`), log Jacobians included. `init` fixes the structure, and fits start uniformly
    within ±2 of it. `constrain(params, **data)` returns the named quantities to report; without it
    the leaves of `params` are reported under their paths.

    **Raises** `ModelError` when `init` has no entries or non-numeric or non-finite leaves.
    """
    structure = structure_of(init)
    traced, static = split_data(data or {})
    target = CallableTarget(
        center=structure.center,
        traced_data=traced,
        static_data=static,
        names=structure.names,
        function=log_density,
        constrain_function=constrain,
        treedef=structure.treedef,
        shapes=structure.shapes,
        leaf_names=structure.leaf_names,
        labels=labels or Labels(),
    )
    if target.labels.dims:
        target.labels.check(reported_shapes(target))
    return target


class Structure(NamedTuple):
    """A pytree of parameters as a flat vector: where it starts, and how to cut and name it."""

    center: np.ndarray
    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    leaf_names: tuple[str, ...]
    names: tuple[str, ...]

    def unravel(self, x) -> Any:
        """The pytree at a flat point."""
        return jax.tree.unflatten(self.treedef, cut(x, self.shapes))


def structure_of(init: Any) -> Structure:
    """**Raises** `ModelError` when `init` has no entries or non-numeric or non-finite leaves, or names clash."""
    paths_and_leaves, treedef = jax.tree_util.tree_flatten_with_path(init)
    leaf_names = tuple(_path_name(path) for path, _ in paths_and_leaves)
    leaves = [_start_leaf(name, leaf) for name, (_, leaf) in zip(leaf_names, paths_and_leaves, strict=True)]
    if sum(leaf.size for leaf in leaves) == 0:
        raise ModelError(
            "the model has no parameters: `init` holds no numbers. There is nothing to sample. "
            "Return a dictionary with one array for each parameter, for example {'mu': 0.0}."
        )
    check_names(leaf_names)
    shapes = tuple(leaf.shape for leaf in leaves)
    names = tuple(entry for name, shape in zip(leaf_names, shapes, strict=True) for entry in scalar_names(name, shape))
    return Structure(np.concatenate([leaf.ravel() for leaf in leaves]), treedef, shapes, leaf_names, names)


def _path_name(path) -> str:
    parts = [str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", entry)))) for entry in path]
    return ".".join(parts) if parts else "x"


def _start_leaf(name: str, leaf) -> np.ndarray:
    try:
        array = np.asarray(leaf, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"`init` has the value {leaf!r} for `{name}`. Parameters are real numbers. "
            "Pass a float or an array of floats."
        ) from None
    if not np.all(np.isfinite(array)):
        raise ModelError(f"`init` has a non-finite entry in `{name}`. A fit starts near `init`. Pass finite numbers.")
    return array


def _checked_scalar(value, function):
    """The value as a float scalar, or a `ModelError` that names the function."""
    name = getattr(function, "__name__", "log_density")
    if not hasattr(value, "shape"):
        if isinstance(value, (int, float, complex, np.number)):
            value = jnp.asarray(value)
        else:
            raise ModelError(
                f"`{name}` returned {type(value).__name__}. A log density is one real number for each point. "
                "Return a scalar, usually the sum of log prior and log likelihood."
            )
    if value.shape != ():
        raise ModelError(
            f"`{name}` returned an array of shape {value.shape}. A log density is one number for each point. "
            "Sum over observations before you return it, for example with `.sum()`."
        )
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ModelError(
            f"`{name}` returned a value of type {value.dtype}. Gradients exist only for real floating-point "
            "numbers. Return a float."
        )
    return value


def _checked_quantities(quantities) -> dict:
    if not isinstance(quantities, Mapping) or not quantities:
        raise ModelError(
            f"`constrain` returned {type(quantities).__name__ if not isinstance(quantities, Mapping) else 'nothing'}. The "
            "output needs named quantities. Return a dictionary of arrays, for example {'sigma': jnp.exp(params['log_sigma'])}."
        )
    check_names(map(str, quantities))
    return {str(name): jnp.asarray(value) for name, value in quantities.items()}
