"""`SliceTarget`: what is left of a target once all coordinates but a few are held at zero."""

from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.targets import AbstractTarget


@final
class SliceTarget(AbstractTarget):
    """`inner` as a function of the coordinates `free`, the others 0.

    In the coordinates of a map under which the others are standard Gaussian given these, it is the marginal density of
    these, up to a constant.
    """

    inner: AbstractTarget
    free: Int[Array, " dim"]
    center: Float[Array, " dim"]
    names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, inner: AbstractTarget, free: Int[Array, " dim"]) -> "SliceTarget":
        """The slice of `inner` along the coordinates `free`."""
        return cls(inner=inner, free=free, center=inner.center[free], names=tuple(inner.names[i] for i in free))

    @property
    def vectorised(self) -> bool:
        return self.inner.vectorised

    @property
    def host(self) -> AbstractTarget | None:
        return self.inner.host

    def moved(self, x: Float[Array, " dim"]) -> tuple[Array, Array]:
        return self.inner.moved(self._whole(x))

    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        return self.inner.log_density(self._whole(x))

    def constrain(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        return self.inner.constrain(self._whole(x))

    def _whole(self, x: Float[Array, " dim"]) -> Float[Array, " inner_dim"]:
        return jnp.zeros(self.inner.dim, x.dtype).at[self.free].set(x)
