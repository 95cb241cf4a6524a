"""`MappedTarget`: a target in the coordinates of a map, a target like any other."""

from typing import final

import equinox as eqx
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.maps._base import AbstractMap
from monochord.targets import AbstractTarget, AbstractWrapped


@final
class MappedTarget(AbstractWrapped):
    """`inner` pulled back along `map`: log p(T(u)) + log |det ∂T/∂u|. Names and quantities are those of `inner`."""

    inner: AbstractTarget
    map: AbstractMap
    center: Float[Array, " dim"]
    names: tuple[str, ...] = eqx.field(static=True)

    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        point, log_det = self.map.forward(x)
        return self.inner.log_density(point) + log_det

    @property
    def host(self) -> AbstractTarget | None:
        return self.inner.host

    def moved(self, x: Float[Array, " dim"]) -> tuple[Array, Array]:
        point, log_det = self.map.forward(x)
        point, more = self.inner.moved(point)
        return point, log_det + more

    def log_step(self, x: Float[Array, " dim"]) -> Float[Array, ""] | None:
        return self.map.log_step(x)

    def constrain(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        return self.inner.constrain(self.map.forward(x)[0])

    def to_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        return self.map.place(x)

    def from_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        return self.map.inverse(x)

    @property
    def unmapped(self) -> AbstractTarget:
        return self.inner


def mapped(target: AbstractTarget, along: AbstractMap) -> MappedTarget:
    """`target` in the coordinates u of `along`."""
    center = along.inverse(np.asarray(target.center, np.float64))
    return MappedTarget(center=center, names=target.names, inner=target, map=along)
