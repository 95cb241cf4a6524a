"""A density in whitened coordinates z, u = mean + Lz, for receivers that take no dense metric; x = u, or x = T(u) along a map T."""

import dataclasses
from typing import final

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from monochord.export._handover import Handover
from monochord.gaussian import Gaussian
from monochord.metrics import identity_metric
from monochord.targets import AbstractTarget, output_name


@eqx.filter_jit
def _value_and_score(target: AbstractTarget, x):
    return jax.value_and_grad(target.log_density)(x)


@eqx.filter_jit
def _constrained(target: AbstractTarget, x):
    return target.constrain(x)


@final
@dataclasses.dataclass(frozen=True)
class Whitened:
    """The target on z: density up to a constant, score Lᵀ∇, and the way back. NumPy in and out, float64.

    `target` may be one along a map; `gaussian` is then of its coordinates.
    """

    target: AbstractTarget
    gaussian: Gaussian

    def value_and_score(self, z: Float[np.ndarray, " dim"]) -> tuple[float, Float[np.ndarray, " dim"]]:
        """Log density and its gradient at a whitened point: one gradient of the target."""
        value, score = _value_and_score(self.target, self._placed(z))
        score = np.asarray(self.gaussian.metric.whiten_covector(np.asarray(score, np.float64)))
        return float(value), np.ascontiguousarray(score)

    def whiten(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """Unconstrained to whitened points."""
        u = self.target.from_unconstrained(np.asarray(x, np.float64))
        return np.ascontiguousarray(self.gaussian.metric.whiten(u - self.gaussian.mean))

    def unwhiten(self, z: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """Whitened to unconstrained points."""
        return np.asarray(self.target.to_unconstrained(self._placed(z)))

    def constrain(self, z: Float[np.ndarray, " dim"]) -> dict[str, np.ndarray]:
        """The user's quantities by name at one whitened point."""
        found = _constrained(self.target, self._placed(z))
        return {output_name(name): np.array(value, np.float64, order="C") for name, value in found.items()}

    def _placed(self, z):
        return np.asarray(self.gaussian.place(np.asarray(z, np.float64)))


def whitened(target: AbstractTarget, given: Handover) -> Whitened:
    """`target` in the coordinates that a handover whitens."""
    return Whitened(target, given.gaussian)


def unchanged(target: AbstractTarget) -> Whitened:
    """`target` in its own coordinates, behind the same face."""
    return Whitened(target, Gaussian(np.zeros(target.dim), identity_metric(target.dim)))
