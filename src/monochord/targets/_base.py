"""`AbstractTarget`: what is sampled, as a flat log density with names."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array


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

    @abc.abstractmethod
    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density at one point of unconstrained space, log Jacobians included, constants free."""

    @abc.abstractmethod
    def constrain(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        """The user's parameters and derived quantities at one unconstrained point, by name."""

    def observed_data(self) -> dict[str, np.ndarray]:
        """Data arrays by name, for the output's `observed_data` group."""
        return {}


def split_data(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """Split data into traced leaves (arrays, lists, nested containers of them) and static values.

    Python numbers, strings, booleans and None stay as they are: a model may use them as sizes or
    in `if`. Pass `numpy.asarray(value)` to have a number traced.
    """
    traced, static = {}, []
    for name, value in data.items():
        if value is None or isinstance(value, (bool, int, float, str)):
            static.append((name, value))
        else:
            traced[name] = jax.tree.map(_as_numeric, value, is_leaf=_is_numeric_list)
    return traced, tuple(sorted(static))


def _is_numeric_list(value) -> bool:
    return isinstance(value, (list, tuple))


def _as_numeric(value):
    from monochord.errors import DataError

    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"a data field holds a ragged list ({error}). Arrays need rows of one length. Pad or split it."
        ) from None
    if array.dtype == object or array.dtype.kind in "USOV":
        raise DataError(
            f"a data field holds {array.dtype} values such as {str(array.flat[0])[:40]!r}. Densities are functions "
            "of numbers. Encode strings as integers and give missing values a number or drop them."
        )
    return array


def scalar_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """Names of the entries of one parameter: ``beta`` or ``beta[0]``, ``beta[1]``; 0-based as in ArviZ."""
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(*shape)]
