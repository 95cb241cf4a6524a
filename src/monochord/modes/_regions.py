"""`Regions` and `RegionTarget`: a posterior cut softly into one target for each mode.

    p(x) = Σ_k p(x) r_k(x),   r_k = w_k t_k(x) / Σ_j w_j t_j(x),   t_k a Student t about mode k

The parts sum to the posterior whatever the t_k are, so that a crude Gaussian, a wrong share or a mode that is none cost work
and no truth. Student tails in place of Gaussian ones compare distances by their ratio: a mode whose Gaussian is too narrow keeps its own tails,
which a Gaussian rule would hand to a wider mode far away, where that mode's chains never come.
"""

from collections.abc import Sequence
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget, AbstractWrapped, HostTarget, host_target

# Fewer tell near modes apart less (one coordinate, six deviations: .02 % of the other mode's centre with 10, .2 % with 5), more
# hand tails over where a Gaussian is too narrow.
FREEDOM = 10.0


@final
class Regions(eqx.Module):
    """Shares r_k(x) of K modes, at least two; `log_heights` are log w_k − ½ log det Σ_k."""

    gaussians: tuple[Gaussian, ...]
    log_heights: Float[Array, " modes"]

    @property
    def num_modes(self) -> int:
        """K."""
        return len(self.gaussians)

    def log_shares(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch modes"]:
        """Log r_k(x), on NumPy or JAX arrays alike."""
        xp = np if isinstance(x, np.ndarray) else jnp
        power = 0.5 * (FREEDOM + x.shape[-1])
        heights = self.log_heights - power * xp.log1p(xp.stack(self._squares(x), -1) / FREEDOM)
        top = heights.max(-1, keepdims=True)
        return heights - top - xp.log(xp.exp(heights - top).sum(-1, keepdims=True))

    def score(self, x: Float[np.ndarray, "*batch dim"], k: int) -> Float[np.ndarray, "*batch dim"]:
        """Gradient of log r_k, on the host: ∇ log t_k − Σ_j r_j ∇ log t_j."""
        power, shares = FREEDOM + x.shape[-1], np.exp(self.log_shares(x))
        pulls = [
            -power * np.asarray(g.metric.solve(x - g.mean)) / (FREEDOM + square[..., None])
            for g, square in zip(self.gaussians, self._squares(x), strict=True)
        ]
        return pulls[k] - sum(shares[..., j : j + 1] * pull for j, pull in enumerate(pulls))

    def _squares(self, x) -> list:
        return [(g.metric.whiten(x - g.mean) ** 2).sum(-1) for g in self.gaussians]


@final
class RegionTarget(AbstractWrapped):
    """`inner` times the share of one mode: log p(x) + log r_k(x). Coordinates, names and quantities are those of `inner`.

    `index` is a leaf: the targets of all modes share their compiled programs.
    """

    inner: AbstractTarget
    regions: Regions
    index: Int[Array, ""]
    center: Float[Array, " dim"]
    names: tuple[str, ...] = eqx.field(static=True)

    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        return self.inner.log_density(x) + jnp.take(self.regions.log_shares(jnp.asarray(x)), self.index)

    def constrain(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        return self.inner.constrain(x)

    def to_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        return self.inner.to_unconstrained(x)

    def from_unconstrained(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        return self.inner.from_unconstrained(x)

    @property
    def unmapped(self) -> AbstractTarget:
        return self.inner.unmapped


def regions_of(
    target: AbstractTarget, gaussians: Sequence[Gaussian], shares: Sequence[float]
) -> tuple[Regions, tuple[AbstractTarget, ...]]:
    """The regions of modes with `shares` of the mass as far as is known, and a target for each.

    **Raises** `ValueError` for fewer than two modes or shares that are not positive.
    """
    if len(gaussians) < 2 or len(gaussians) != len(shares) or not all(share > 0 for share in shares):
        raise ValueError(
            f"`regions_of` got {len(gaussians)} Gaussians and the shares {list(shares)}. Regions are for two modes or more, "
            "each with a positive share. Pass one share a Gaussian, and leave modes without mass out."
        )
    alike = _alike(gaussians)
    heights = np.array([np.log(s) - 0.5 * float(g.metric.log_det()) for g, s in zip(alike, shares, strict=True)])
    regions = Regions(tuple(alike), heights)
    return regions, tuple(_part(target, regions, k) for k in range(len(alike)))


def _part(target: AbstractTarget, regions: Regions, k: int) -> AbstractTarget:
    """Density times share k, where `target` computes: in JAX, or on the host."""
    center = np.asarray(regions.gaussians[k].mean)
    if not isinstance(target, HostTarget):
        index = np.asarray(k, np.int32)
        return RegionTarget(inner=target, regions=regions, index=index, center=center, names=target.names)
    model = target.model.with_term(lambda x: (float(regions.log_shares(x)[k]), regions.score(x, k)))
    return host_target(center, target.names, model, target.observed.value, target.labels)


def _alike(gaussians: Sequence[Gaussian]) -> list[Gaussian]:
    """The same in float64 arrays."""
    return [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), gaussian) for gaussian in gaussians]
