"""`NodedMap`: a `BorderedMap` at each of some values of one more coordinate, and in between a mixture of the nearest three.

    x = Σ_n φ_n(z) T_n(u),   φ_n = B(τ − n),   τ = (N/2)(1 + tanh((z − center)/reach)) − ½,

B the quadratic B-spline; outer nodes count for those that are missing beyond them. Where the precision of coordinates given their scales also depends
on the coefficient z of an autoregression, or on the length of a Gaussian process. Given z and the scales all T_n are affine and
triangular in one order, with positive slopes: so is their mixture. Far from the nodes it is that of the outer ones.
"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from monochord.arrays import Array
from monochord.maps._blockwise import AbstractBlockwise
from monochord.maps._bordered import BorderedMap
from monochord.maps._small import is_narrow

NEAREST = np.array([-1, 0, 1])


@final
class NodedMap(AbstractBlockwise):
    """The map u ↦ x. Fields are those of `BorderedMap`, of which those with a first axis of nodes differ from node to node."""

    given: Int[Array, " one"]
    reach: Float[Array, ""]
    members: Int[Array, "blocks width"]
    border: Int[Array, " border"]
    scales: Int[Array, " scales"]
    center: Float[Array, " dim"]
    exponents: Float[Array, "terms scales"]
    precision: Float[Array, "nodes terms blocks width width"]
    coupling: Float[Array, "nodes terms blocks width border"]
    border_precision: Float[Array, "nodes terms border border"]
    pull: Float[Array, "nodes terms blocks width"]
    border_pull: Float[Array, "nodes terms border"]

    @classmethod
    def of(cls, given: int, reach: float, maps: list[BorderedMap]) -> "NodedMap":
        """The mixture of `maps` at `node_values`, which differ in precisions and pulls alone; their number is odd."""
        first = maps[len(maps) // 2]
        parts = {name: np.stack([getattr(one, name) for one in maps]) for name in DIFFER}
        return cls(
            np.array([given]),
            np.asarray(reach),
            first.members,
            first.border,
            first.scales,
            first.center,
            first.exponents,
            **parts,
        )

    @property
    def moved(self) -> Int[np.ndarray, " moved"]:
        return self.at_node(0).moved

    @property
    def num_nodes(self) -> int:
        return len(self.precision)

    def at_node(self, n: int) -> BorderedMap:
        """The map of one node."""
        return self._map(*(getattr(self, name)[n] for name in DIFFER))

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        u = jnp.asarray(u)
        nearest, share = self._mixture(u)
        parts = (jnp.asarray(getattr(self, name))[nearest] for name in DIFFER)
        if is_narrow(self.members.shape[1], len(self.border)):
            x, *slopes = jax.vmap(lambda *own: self._map(*own).with_slopes(u))(*parts)
        else:  # wide matrices of several nodes would go to LAPACK at once
            x, *slopes = jax.lax.map(lambda own: self._map(*own).with_slopes(u), tuple(parts))
        log_det = sum((jnp.sum(jnp.log(jnp.tensordot(share, part, axes=1))) for part in slopes), jnp.zeros((), u.dtype))
        return share @ x, log_det

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        placed = np.stack([self.at_node(n).place(u) for n in range(self.num_nodes)])
        return np.einsum("...n,n...i->...i", self._shares(u), placed)

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(x)
        share, at = self._shares(x), self.at_node(0)
        found = [self.at_node(n).moments(x) for n in range(self.num_nodes)]
        turned = [
            (np.linalg.inv(np.swapaxes(c, -1, -2)), np.linalg.inv(np.swapaxes(lower, -1, -2)))
            for c, _, _, lower, _ in found
        ]

        def mixed(parts):
            return sum(
                share[..., n].reshape(share.shape[:-1] + (1,) * (part.ndim - x.ndim + 1)) * part
                for n, part in enumerate(parts)
            )

        def solved(matrix, right):
            return np.linalg.solve(matrix, right[..., None])[..., 0]

        def times(matrix, vector):
            return np.einsum("...ij,...j->...i", matrix, vector)

        moved = x[..., self.border] - np.asarray(self.center)[self.border]
        border = mixed([times(own, pulled) for (_, own), (*_, pulled) in zip(turned, found, strict=True)])
        border = solved(mixed([own for _, own in turned]), moved - border)
        inner = []
        for (block, own), (_, coupled, pull, _, pulled) in zip(turned, found, strict=True):
            inner.append(times(block, pull - np.einsum("...bij,...j->...bi", coupled, times(own, border + pulled))))
        away = at.gathered(x) - mixed(inner)
        return at.put(x, solved(mixed([block for block, _ in turned]), away), border)

    def named(self, names: tuple[str, ...]) -> str:
        return f"{self.at_node(0).named(names)}; and given `{names[int(self.given[0])]}`"

    def log_spreads(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n moved"]:
        """Those of the node in the middle."""
        return self.at_node(self.num_nodes // 2).log_spreads(x)

    def is_sound(self, x: Float[np.ndarray, "n dim"]) -> Bool[np.ndarray, " n"]:
        """Whether all nodes are."""
        return np.all([self.at_node(n).is_sound(x) for n in range(self.num_nodes)], axis=0)

    def _map(self, *parts) -> BorderedMap:
        common = (self.members, self.border, self.scales, self.center, self.exponents)
        return BorderedMap(*common, **dict(zip(DIFFER, parts, strict=True)))

    def _mixture(self, x):
        """The nearest nodes and their φ, each (..., 3); a node may come twice."""
        xp = np if isinstance(x, np.ndarray) else jnp
        away = (x[..., self.given] - xp.asarray(self.center)[self.given]) / self.reach
        place = self.num_nodes / 2.0 * (1.0 + xp.tanh(away)) - 0.5
        middle = xp.clip(xp.round(place), 0, self.num_nodes - 1)
        r = place - middle
        share = xp.concatenate([0.5 * (0.5 - r) ** 2, 0.75 - r**2, 0.5 * (0.5 + r) ** 2], axis=-1)
        return xp.clip(middle.astype(int) + NEAREST, 0, self.num_nodes - 1), share

    def _shares(self, x: np.ndarray) -> np.ndarray:
        """φ of all nodes, (..., nodes)."""
        nearest, share = self._mixture(x)
        return np.sum(share[..., None] * (nearest[..., None] == np.arange(self.num_nodes)), axis=-2)


def node_values(center: float, reach: float, count: int) -> Float[np.ndarray, " nodes"]:
    """Where `count` nodes lie: closer in the middle."""
    return center + reach * np.arctanh((2.0 * np.arange(count) + 1.0) / count - 1.0)


DIFFER = ("precision", "coupling", "border_precision", "pull", "border_pull")
