"""`AbstractMap`: what a target's coordinates may be changed by."""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array


class AbstractMap(eqx.Module):
    """A smooth bijection u ↦ x of unconstrained space. A pytree: what it has learned are its leaves."""

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Number of coordinates."""

    @property
    @abc.abstractmethod
    def num_moved(self) -> int:
        """Number of coordinates that it does not leave as they are."""

    @abc.abstractmethod
    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """`(x, log |det ∂x/∂u|)`."""

    def log_step(self, u: Float[Array, " dim"]) -> Float[Array, ""] | None:
        """Logarithm of the leapfrog step that suits u, over that at the centre of what was learned; None where one step suits all."""
        return None

    @abc.abstractmethod
    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """X for u, on the host."""

    @abc.abstractmethod
    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """U for x, on the host."""

    @abc.abstractmethod
    def named(self, names: tuple[str, ...]) -> str:
        """A sentence: what it does to which coordinates."""
