"""`BlockMap`: blocks of coordinates that are Gaussian given a few others, by precisions that add.

    x_B = ℓ + C⁻ᵀ u_B,   C Cᵀ = P(z) = Σ_k w_k(z) Q_k,   P ℓ = Σ_k w_k(z) R_k (1, z_L),   log w_k = −2 e_k · z_S,

z the standardised drivers: a few S that set the weights, and L that move the locations. Groups of a hierarchical model with
several parameters each are such blocks, independent given the hyperparameters: the prior is one term of the sum, the likelihood another,
and neither need be diagonal. `ConditionalMap` is what remains of it for blocks of one.
"""

from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._blockwise import AbstractBlockwise, padded
from monochord.maps._small import factored, solved, solved_turned


@final
class BlockMap(AbstractBlockwise):
    """The map u ↦ x. Coordinates in no block keep their values.

    Rows of `members` shorter than its width are filled with dim, where `precision` holds an identity in its first term.
    `precision` and `shift` are in coordinates (x − center)/unit.
    """

    members: Int[Array, "blocks width"]
    scale_drivers: Int[Array, " scales"]
    drivers: Int[Array, " locations"]
    center: Float[Array, " dim"]
    unit: Float[Array, " dim"]
    exponents: Float[Array, "terms scales"]
    precision: Float[Array, "terms blocks width width"]
    shift: Float[Array, "terms blocks width one_and_locations"]

    @property
    def moved(self) -> Int[np.ndarray, " moved"]:
        members = np.asarray(self.members)
        return np.sort(members[members < self.dim])

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        factor, moved = self._moments(u)
        u = jnp.asarray(u)
        inner = u.at[self.members].get(mode="fill", fill_value=0.0)
        z = solved_turned(factor, moved + inner)
        unit = jnp.asarray(self.unit).at[self.members].get(mode="fill", fill_value=1.0)
        center = jnp.asarray(self.center).at[self.members].get(mode="fill", fill_value=0.0)
        log_det = jnp.sum(jnp.log(unit)) - jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)))
        return u.at[self.members].set(center + unit * z, mode="drop"), log_det

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        factor, moved = self._moments(u)
        z = solved_turned(factor, moved + padded(u, 0.0)[..., self.members])
        return self._put(u, self._center(z) + self._unit(z) * z)

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(x)
        factor, moved = self._moments(x)
        at = padded(x, 0.0)[..., self.members]
        z = (at - self._center(at)) / self._unit(at)
        return self._put(x, np.einsum("...ij,...i->...j", factor, z) - moved)

    def named(self, names: tuple[str, ...]) -> str:
        shown = ", ".join(f"`{names[j]}`" for j in np.asarray(self.scale_drivers))
        return f"{self.num_moved} coordinates in {len(self.members)} blocks given location and precision by {shown}"

    def _center(self, like):
        return padded(np.asarray(self.center), 0.0)[self.members] + 0.0 * like

    def _unit(self, like):
        return padded(np.asarray(self.unit), 1.0)[self.members] + 0.0 * like

    def _put(self, whole, values):
        filled = padded(whole, 0.0)
        filled[..., self.members] = values
        return filled[..., :-1]

    def _moments(self, x):
        """C and C⁻¹ P ℓ by block."""
        xp = np if isinstance(x, np.ndarray) else jnp

        def standardised(which):
            return (x[..., which] - xp.asarray(self.center)[which]) / xp.asarray(self.unit)[which]

        place = standardised(self.drivers)
        regressors = xp.concatenate([xp.ones((*place.shape[:-1], 1), place.dtype), place], axis=-1)
        weight = xp.exp(-2.0 * standardised(self.scale_drivers) @ self.exponents.T)
        precision = xp.einsum("...k,kbij->...bij", weight, self.precision)
        factor = factored(precision)
        return factor, solved(factor, xp.einsum("...k,kbil,...l->...bi", weight, self.shift, regressors))
