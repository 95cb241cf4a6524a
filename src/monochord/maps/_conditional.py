"""`ConditionalMap`: each coordinate a location and a scale that depend on a few others; non-centring with coefficients.

    x_i = ℓ_i + σ_i u_i,   σ_i⁻² = w₁ + w₂,   ℓ_i = σ_i²(w₁ m_i + w₂ y_i),   log w = −2(a_i + Σ_j c_ij z_j) for each of two components,
    m_i = offset_i + Σ_j (b_ij z_j + q_ij z_j²),   z_j = (x_j − center_j)/unit_j,  j in drivers of i

Precisions add, as those of a prior that other parameters set and of a likelihood. Triangular after sorting by level, so that
inverse and log-determinant, Σ log σ_i, are explicit. Neal's funnel (2003, section 8) has one driver and one component;
non-centring of hierarchical models (Papaspiliopoulos, Roberts & Sköld 2007) has b = c = 1, centring a second component
alone; what lies between is learned here, and moves from one to the other as the drivers move.
"""

from typing import final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap


@final
class ConditionalMap(AbstractMap):
    """The map u ↦ x. Rows of coordinates without drivers are zero, and x_i = u_i there.

    `level` is 0 for those, and else one more than the highest among a coordinate's drivers; `depth` is the highest.
    Rows of `drivers` shorter than its width are filled with the coordinate itself at coefficients zero.
    """

    drivers: Int[Array, "dim width"]
    level: Int[Array, " dim"]
    center: Float[Array, " dim"]
    unit: Float[Array, " dim"]
    offset: Float[Array, " dim"]
    location: Float[Array, "dim width"]
    curvature: Float[Array, "dim width"]
    log_scale: Float[Array, " dim"]
    scale: Float[Array, "dim width"]
    other_place: Float[Array, " dim"]
    other_log_scale: Float[Array, " dim"]
    other_scale: Float[Array, "dim width"]
    depth: int = eqx.field(static=True)

    @property
    def dim(self) -> int:
        return self.level.shape[0]

    @property
    def num_moved(self) -> int:
        return int(np.sum(np.asarray(self.level) > 0))

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        x, log_scale = u, jnp.zeros_like(u)
        for level in range(1, self.depth + 1):
            here = self.level == level
            location, log_scale_now = self._moments(x)
            x = jnp.where(here, location + jnp.exp(jnp.where(here, log_scale_now, 0.0)) * u, x)
            log_scale = jnp.where(here, log_scale_now, log_scale)
        return x, jnp.sum(log_scale)

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(u)
        for level in range(1, self.depth + 1):
            here = np.asarray(self.level) == level
            location, log_scale = self._moments(x)
            x = np.where(here, location + np.exp(np.where(here, log_scale, 0.0)) * u, x)
        return x

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        location, log_scale = self._moments(np.asarray(x))
        return np.where(np.asarray(self.level) > 0, (x - location) * np.exp(-log_scale), x)

    def named(self, names: tuple[str, ...]) -> str:
        children = np.flatnonzero(np.asarray(self.level))
        used = (np.asarray(self.scale) != 0) | (np.asarray(self.other_scale) != 0) | (np.asarray(self.curvature) != 0)
        drivers = sorted({int(self.drivers[i, slot]) for i in children for slot in np.flatnonzero(used[i])})
        shown = ", ".join(f"`{names[j]}`" for j in drivers[:4]) + (", …" if len(drivers) > 4 else "")
        return f"{len(children)} coordinate{'s' * (len(children) != 1)} given location and scale by {shown}"

    def _moments(self, x):
        z = (x[..., self.drivers] - self.center[self.drivers]) / self.unit[self.drivers]
        xp = np if isinstance(z, np.ndarray) else jnp
        mean = self.offset + (z * (self.location + self.curvature * z)).sum(-1)
        first, other = self.log_scale + (self.scale * z).sum(-1), self.other_log_scale + (self.other_scale * z).sum(-1)
        log_scale = -0.5 * xp.logaddexp(-2.0 * first, -2.0 * other)
        share = xp.exp(-2.0 * (first - log_scale))
        return share * mean + (1.0 - share) * self.other_place, log_scale
