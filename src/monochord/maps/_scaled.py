"""`ScaledMap`: coordinates whose likelihood is that of products with scales, standardised given the scales.

    x_i = σ_i² c_i e_i + σ_i u_i,   σ_i⁻² = p_i + k_i e_i²,   log e_i = Σ_j b_ij (min(x_j, edge_j) − center_j),   j in drivers of i

Where x ~ N(0, 1/p) and the likelihood of x e is N(c/k, 1/k) up to a constant, x given its scales is N(σ² c e, σ²), b being 1. Non-centred
where e is small, centred where it is large. Where x is the product itself (a power of 1 rather than 0), the above is that of x over
exp Σ_j x_j. The minimum is a smooth one, and the edge of a driver the end of what its slope was learned from.

A likelihood that is not Gaussian in the products is flatter where they are large (b below 1), but for walls: a logit of hundreds, met from the
wrong side. There its curvature is what it is where products are small, and in u larger by (p + k f²)/(p + k e²) for a product with
f = exp Σ_j (x_j − center_j), all slopes 1. `log_step` is −½ the logarithm of the mean of that: a wall is seen from no point of the
posterior by its Hessian, and felt by every trajectory.
"""

import math
from typing import final

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap

MOST = 300.0  # of exponents: exponentials and their squares stay finite
SHARP = 3.0  # of the smooth minimum: it is off by .23 at the edge, and by 7 % of that one unit further


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
    edge: Float[Array, " dim"]  # infinite where slopes hold everywhere
    power: Float[Array, " children"]

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

    def log_step(self, u: Float[Array, " dim"]) -> Float[Array, ""]:
        products = (u[self.multipliers] - jnp.asarray(self.center)[self.multipliers]).sum(-1)
        stiffer = self._log_precision(products) - self._log_precision(self._log_effect(u))
        return -0.5 * (logsumexp(stiffer) - math.log(len(self.children)))

    def _log_precision(self, log_effect):
        return jnp.logaddexp(jnp.log(self.prior), jnp.log(self.growth) + 2.0 * log_effect)

    def _log_effect(self, x):
        xp = np if isinstance(x, np.ndarray) else jnp
        edge, center = (xp.asarray(part)[self.multipliers] for part in (self.edge, self.center))
        return ((smooth_minimum(x[..., self.multipliers], edge) - center) * self.slopes).sum(-1)

    def _moments(self, x):
        xp = np if isinstance(x, np.ndarray) else jnp
        effect = xp.exp(xp.clip(self._log_effect(x), -MOST, MOST))
        variance = 1.0 / (self.prior + self.growth * effect**2)
        whole = xp.exp(xp.clip(x[..., self.multipliers].sum(-1) * xp.asarray(self.power), -MOST, MOST))
        return whole * variance * effect * self.pull, whole * xp.sqrt(variance)


def smooth_minimum(x, edge):
    """−log(e^{−sx} + e^{−s·edge})/s with s = `SHARP`: x far below the edge, which may be infinite."""
    xp = np if isinstance(x, np.ndarray) else jnp
    return -xp.logaddexp(-SHARP * x, -SHARP * edge) / SHARP
