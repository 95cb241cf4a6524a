"""`BlockMap`: blocks of coordinates that are Gaussian given a few others, by precisions that add.

    x_B = ℓ + C⁻ᵀ u_B,   C Cᵀ = P(z) = Σ_k w_k(z) Q_k,   P ℓ = Σ_k w_k(z) R_k (1, z_L),   log w_k = −2 e_k · z_S,

z the standardised drivers: a few S that set the weights, and L that move the locations. Groups of a hierarchical model with
several parameters each are such blocks, independent given the hyperparameters: the prior is one term of the sum, the likelihood another,
and neither need be diagonal. `ConditionalMap` is what remains of it for blocks of one.
"""

from typing import final

import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap

UNROLLED = 6  # width up to which a factorisation written out column by column is cheaper than a call for each block


@final
class BlockMap(AbstractMap):
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
    def dim(self) -> int:
        return self.center.shape[0]

    @property
    def num_moved(self) -> int:
        return len(self.moved)

    @property
    def moved(self) -> Int[np.ndarray, " moved"]:
        """Places of the coordinates in a block."""
        return np.setdiff1d(np.arange(self.dim), self.left)

    @property
    def left(self) -> Int[np.ndarray, " left"]:
        """Places of the coordinates in no block."""
        return np.setdiff1d(np.arange(self.dim), np.asarray(self.members))

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        factor, moved = self._moments(u)
        u = jnp.asarray(u)
        inner = u.at[self.members].get(mode="fill", fill_value=0.0)
        z = _solved_turned(factor, moved + inner)
        unit = jnp.asarray(self.unit).at[self.members].get(mode="fill", fill_value=1.0)
        center = jnp.asarray(self.center).at[self.members].get(mode="fill", fill_value=0.0)
        log_det = jnp.sum(jnp.log(unit)) - jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)))
        return u.at[self.members].set(center + unit * z, mode="drop"), log_det

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        factor, moved = self._moments(u)
        z = _solved_turned(factor, moved + _padded(u, 0.0)[..., self.members])
        return self._put(u, self._center(z) + self._unit(z) * z)

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(x)
        factor, moved = self._moments(x)
        at = _padded(x, 0.0)[..., self.members]
        z = (at - self._center(at)) / self._unit(at)
        return self._put(x, np.einsum("...ij,...i->...j", factor, z) - moved)

    def named(self, names: tuple[str, ...]) -> str:
        shown = ", ".join(f"`{names[j]}`" for j in np.asarray(self.scale_drivers))
        return f"{self.num_moved} coordinates in {len(self.members)} blocks given location and precision by {shown}"

    def _center(self, like):
        return _padded(np.asarray(self.center), 0.0)[self.members] + 0.0 * like

    def _unit(self, like):
        return _padded(np.asarray(self.unit), 1.0)[self.members] + 0.0 * like

    def _put(self, whole, values):
        padded = _padded(whole, 0.0)
        padded[..., self.members] = values
        return padded[..., :-1]

    def _moments(self, x):
        """C and C⁻¹ P ℓ by block."""
        xp = np if isinstance(x, np.ndarray) else jnp

        def standardised(which):
            return (x[..., which] - xp.asarray(self.center)[which]) / xp.asarray(self.unit)[which]

        place = standardised(self.drivers)
        regressors = xp.concatenate([xp.ones((*place.shape[:-1], 1), place.dtype), place], axis=-1)
        weight = xp.exp(-2.0 * standardised(self.scale_drivers) @ self.exponents.T)
        precision = xp.einsum("...k,kbij->...bij", weight, self.precision)
        factor = _factor(precision)
        return factor, _solved(factor, xp.einsum("...k,kbil,...l->...bi", weight, self.shift, regressors))


def _padded(values: np.ndarray, fill: float) -> np.ndarray:
    return np.concatenate([values, np.full((*values.shape[:-1], 1), fill)], axis=-1)


def _factor(precision):
    """Lower Cholesky factors of many small matrices."""
    width = precision.shape[-1]
    if isinstance(precision, np.ndarray):
        try:
            return np.linalg.cholesky(precision)
        except np.linalg.LinAlgError:  # of one of them: the others count
            rows = [_factor_of_one(one) for one in precision.reshape(-1, width, width)]
            return np.array(rows).reshape(precision.shape)
    if width > UNROLLED:
        return jnp.linalg.cholesky(precision)
    entries: dict[tuple[int, int], Array] = {}
    for j in range(width):
        pivot = precision[..., j, j] - sum((entries[j, k] ** 2 for k in range(j)), jnp.zeros((), precision.dtype))
        entries[j, j] = jnp.sqrt(pivot)
        for i in range(j + 1, width):
            left = precision[..., i, j] - sum(
                (entries[i, k] * entries[j, k] for k in range(j)), jnp.zeros((), precision.dtype)
            )
            entries[i, j] = left / entries[j, j]
    zero = jnp.zeros_like(precision[..., 0, 0])
    rows = [jnp.stack([entries.get((i, j), zero) for j in range(width)], axis=-1) for i in range(width)]
    return jnp.stack(rows, axis=-2)


def _factor_of_one(precision):
    try:
        return np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        return np.full_like(precision, np.nan)


def _solved(factor, right):
    """C⁻¹ r."""
    if isinstance(factor, np.ndarray):
        return np.linalg.solve(factor, right[..., None])[..., 0]
    width = factor.shape[-1]
    if width > UNROLLED:
        return jax.scipy.linalg.solve_triangular(factor, right[..., None], lower=True)[..., 0]
    found: list[Array] = []
    for i in range(width):
        left = right[..., i] - sum((factor[..., i, k] * found[k] for k in range(i)), jnp.zeros((), right.dtype))
        found.append(left / factor[..., i, i])
    return jnp.stack(found, axis=-1)


def _solved_turned(factor, right):
    """C⁻ᵀ r."""
    if isinstance(factor, np.ndarray):
        return np.linalg.solve(np.swapaxes(factor, -1, -2), right[..., None])[..., 0]
    width = factor.shape[-1]
    if width > UNROLLED:
        return jax.scipy.linalg.solve_triangular(factor, right[..., None], lower=True, trans=1)[..., 0]
    found: dict[int, Array] = {}
    for i in range(width - 1, -1, -1):
        left = right[..., i] - sum(
            (factor[..., k, i] * found[k] for k in range(i + 1, width)), jnp.zeros((), right.dtype)
        )
        found[i] = left / factor[..., i, i]
    return jnp.stack([found[i] for i in range(width)], axis=-1)
