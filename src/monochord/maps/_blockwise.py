"""`AbstractBlockwise`: what maps of blocks of coordinates have in common."""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap


class AbstractBlockwise(AbstractMap):
    """A map that leaves all coordinates but those of its blocks as they are."""

    center: eqx.AbstractVar[Float[Array, " dim"]]

    @property
    @abc.abstractmethod
    def moved(self) -> Int[np.ndarray, " moved"]:
        """Places of the coordinates in blocks, in order."""

    @property
    def left(self) -> Int[np.ndarray, " left"]:
        """Places of all others."""
        return np.setdiff1d(np.arange(self.dim), self.moved)

    @property
    def num_moved(self) -> int:
        return len(self.moved)

    @property
    def dim(self) -> int:
        return self.center.shape[0]


def padded(values: np.ndarray, fill: float) -> np.ndarray:
    """With one more coordinate, which rows of blocks that are shorter than others point at."""
    return np.concatenate([values, np.full((*values.shape[:-1], 1), fill)], axis=-1)
