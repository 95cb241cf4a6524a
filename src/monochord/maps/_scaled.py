"""`ScaledMap`: coordinates whose likelihood is that of products with scales, standardised given the scales.

    x_i = σ_i² c_i e_i + σ_i u_i,   σ_i⁻² = p_i + k_i e_i²,   log e_i = Σ_j b_ij (x_j − center_j),   j in drivers of i

Where x ~ N(0, 1/p) and the likelihood of x e is N(c/k, 1/k) up to a constant, x given its scales is N(σ² c e, σ²), b being 1. Non-centred
where e is small, centred where it is large.
"""

from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap

MOST = 300.0  # of exponents: exponentials and their squares stay finite


@final
class ScaledMap(AbstractMap):
    """The map u ↦ x. Coordinates that are no `children` keep their values; drivers are none of them."""

    children: Int[Array, " children"]
    multipliers: Int[Array, "children width"]
    slopes: Float[Array, "children width"]
    center: Float[Array, " dim"]
    prior: Float[Array, " children"]
    growth: Float[Array, " children"]
    pull: Float[Array, " children"]

    @property
    def dim(self) -> int:
        return self.center.shape[0]

    @property
    def num_moved(self) -> int:
        return len(self.children)

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        location, scale = self._moments(u)
        x = jnp.asarray(u).at[self.children].set(location + scale * u[self.children])
        return x, jnp.sum(jnp.log(scale))

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.array(u)
        location, scale = self._moments(x)
        x[..., self.children] = location + scale * x[..., self.children]
        return x

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.array(x)
        location, scale = self._moments(u)
        u[..., self.children] = (u[..., self.children] - location) / scale
        return u

    def named(self, names: tuple[str, ...]) -> str:
        used = [int(j) for j in dict.fromkeys(np.asarray(self.multipliers).T.ravel())]
        shown = ", ".join(f"`{names[j]}`" for j in used[:4]) + (", …" if len(used) > 4 else "")
        return f"{self.num_moved} coordinates given location and scale by their products with {shown}"

    def _moments(self, x):
        xp = np if isinstance(x, np.ndarray) else jnp
        logs = x[..., self.multipliers] - xp.asarray(self.center)[self.multipliers]
        effect = xp.exp(xp.clip((logs * self.slopes).sum(-1), -MOST, MOST))
        variance = 1.0 / (self.prior + self.growth * effect**2)
        return variance * effect * self.pull, xp.sqrt(variance)
