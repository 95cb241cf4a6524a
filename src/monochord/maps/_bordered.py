"""`BorderedMap`: coordinates that are jointly Gaussian given logarithms of scales, by precisions that add and are sparse together.

    x ~ N(·, P(s)⁻¹),   P(s) = Σ_k w_k(s) Q_k,   r(s) = Σ_k w_k(s) r_k,   log w_k = −Σ_j c_kj (s_j − center_j)

with P an arrowhead: blocks that lean on each other only through a few coordinates of the border, as groups lean on their mean, or
stretches of a walk on the points between them. With C Cᵀ the blocks' precisions, K what couples them to the border, A = C⁻¹K, g = C⁻¹r and
L Lᵀ = P_border − AᵀA the border's own,

    z_border = L⁻ᵀ(u + L⁻¹(r_border − Aᵀg)),   z_block = C⁻ᵀ(u + g − A z_border),   x = center + z.

Where prior and likelihood are Gaussian given the scales, u is a standard Gaussian given them, exactly; where scales are small it is the
non-centred form of the model (Papaspiliopoulos, Roberts & Sköld 2007), and where they are large the centred one.
"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from monochord.arrays import Array
from monochord.maps._blockwise import AbstractBlockwise, padded
from monochord.maps._small import factored, solved, solved_columns, solved_turned

LIFT = 4.0  # of rounding, that precisions are made larger by: it decides then on no sign
SOUND = 8.0  # times what precisions are made larger by, at all coordinates: it adds up along chains


@final
class BorderedMap(AbstractBlockwise):
    """The map u ↦ x. Scales, and coordinates in no block and not in the border, keep their values.

    Rows of `members` shorter than its width are filled with dim, where `precision` holds an identity in its first term.
    """

    members: Int[Array, "blocks width"]
    border: Int[Array, " border"]
    scales: Int[Array, " scales"]
    center: Float[Array, " dim"]
    exponents: Float[Array, "terms scales"]
    precision: Float[Array, "terms blocks width width"]
    coupling: Float[Array, "terms blocks width border"]
    border_precision: Float[Array, "terms border border"]
    pull: Float[Array, "terms blocks width"]
    border_pull: Float[Array, "terms border"]

    @property
    def moved(self) -> Int[np.ndarray, " moved"]:
        members = np.asarray(self.members)
        return np.sort(np.concatenate([members[members < self.dim], np.asarray(self.border)]))

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        x, in_blocks, in_border = self.with_slopes(u)
        return x, jnp.sum(jnp.log(in_blocks)) + jnp.sum(jnp.log(in_border))

    def with_slopes(self, u: Float[Array, " dim"]):
        """X, and its slopes ∂x_i/∂u_i of coordinates in blocks and in the border: the Jacobian is triangular in an order of these."""
        u = jnp.asarray(u)
        factor, turned, moved, own, pulled = self.moments(u)
        z_border = _back(own, u[self.border] + pulled)
        inner = u.at[self.members].get(mode="fill", fill_value=0.0)
        z = solved_turned(factor, inner + moved - turned @ z_border)
        center = jnp.asarray(self.center).at[self.members].get(mode="fill", fill_value=0.0)
        x = u.at[self.members].set(center + z, mode="drop")
        x = x.at[self.border].set(jnp.asarray(self.center)[self.border] + z_border)
        return x, 1.0 / jnp.diagonal(factor, axis1=-2, axis2=-1), 1.0 / jnp.diagonal(own, axis1=-2, axis2=-1)

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        factor, turned, moved, own, pulled = self.moments(u)
        z_border = _back(own, u[..., self.border] + pulled)
        inner = padded(u, 0.0)[..., self.members] + moved - np.einsum("...bij,...j->...bi", turned, z_border)
        return self.put(
            u, self._center() + solved_turned(factor, inner), np.asarray(self.center)[self.border] + z_border
        )

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(x)
        factor, turned, moved, own, pulled = self.moments(x)
        z_border = x[..., self.border] - np.asarray(self.center)[self.border]
        z = self.gathered(x)
        inner = np.einsum("...ij,...i->...j", factor, z) - moved + np.einsum("...bij,...j->...bi", turned, z_border)
        return self.put(x, inner, np.einsum("...ij,...i->...j", own, z_border) - pulled)

    def log_spreads(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n moved"]:
        """Logarithms of the standard deviations given all else, of what is moved, in blocks and then in the border."""
        weight = self._weight(np.asarray(x))
        inside = np.einsum("nk,kbii->nbi", weight, np.asarray(self.precision))[:, np.asarray(self.members) < self.dim]
        border = np.einsum("nk,kii->ni", weight, np.asarray(self.border_precision))
        return -0.5 * np.log(np.concatenate([inside, border], axis=1))

    def is_sound(self, x: Float[np.ndarray, "n dim"]) -> Bool[np.ndarray, " n"]:
        """Whether the precision is positive, and more than rounding left of it once what others explain is taken off."""
        factor, _, _, own, _ = self.moments(x)
        weight = self._weight(x)
        whole = (
            np.einsum("nk,kbii->nbi", weight, np.asarray(self.precision)).reshape(len(x), -1),
            np.einsum("nk,kii->ni", weight, np.asarray(self.border_precision)),
        )
        pivots = (np.diagonal(one, axis1=-2, axis2=-1).reshape(len(x), -1) ** 2 for one in (factor, own))
        return np.all(
            [
                np.all(part > SOUND * LIFT * _rounding() * self.dim * all_, axis=1)
                for part, all_ in zip(pivots, whole, strict=True)
            ],
            axis=0,
        )

    def named(self, names: tuple[str, ...]) -> str:
        shown = ", ".join(f"`{names[j]}`" for j in np.asarray(self.scales))
        return f"{self.num_moved} coordinates standardised given {shown}: non-centred where scales are small, centred where they are large"

    def _center(self):
        return padded(np.asarray(self.center), 0.0)[self.members]

    def gathered(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch blocks width"]:
        """The coordinates of blocks, less the centre."""
        return padded(x, 0.0)[..., self.members] - self._center()

    def put(self, whole, inner, border):
        """`whole` with other values of what is in blocks and in the border."""
        filled = padded(whole, 0.0)
        filled[..., self.members] = inner
        filled[..., self.border] = border
        return filled[..., :-1]

    def _weight(self, x):
        xp = np if isinstance(x, np.ndarray) else jnp
        moved = x[..., self.scales] - xp.asarray(self.center)[self.scales]
        return xp.exp(-moved @ xp.asarray(self.exponents).T)

    def moments(self, x):
        """C, A, g, L and L⁻¹(r_border − Aᵀg)."""
        xp = np if isinstance(x, np.ndarray) else jnp
        weight = self._weight(x)

        def weighed(part):
            return xp.tensordot(weight, part, axes=1)

        factor = factored(_lifted(weighed(self.precision)))
        pull = solved(factor, weighed(self.pull))
        turned = solved_columns(factor, weighed(self.coupling))
        own = _lifted(weighed(self.border_precision)) - xp.einsum("...bij,...bik->...jk", turned, turned)
        left = weighed(self.border_pull) - xp.einsum("...bij,...bi->...j", turned, pull)
        lower = factored(own) if own.shape[-1] else own
        return factor, turned, pull, lower, solved(lower, left) if own.shape[-1] else left


def _rounding() -> float:
    """Of the arithmetic that chains run in, on the host too: both must be one map."""
    return float(jnp.finfo(jax.dtypes.canonicalize_dtype(float)).eps)


def _lifted(precision):
    width = precision.shape[-1]
    return precision * (1.0 + LIFT * _rounding() * np.eye(width, dtype=precision.dtype))


def _back(own, right):
    return solved_turned(own, right) if own.shape[-1] else right
