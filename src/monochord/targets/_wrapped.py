"""`AbstractWrapped`: a target made of another, with whose data and names it answers."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.targets._base import AbstractTarget
from monochord.targets._hierarchy import Hierarchy
from monochord.targets._labels import Labels


class AbstractWrapped(AbstractTarget):
    """A density around that of `inner`, on as many coordinates. What is not a density is asked of `inner`."""

    inner: eqx.AbstractVar[AbstractTarget]

    @property
    def vectorised(self) -> bool:
        return self.inner.vectorised

    def log_step(self, x: Float[Array, " dim"]) -> Float[Array, ""] | None:
        return self.inner.log_step(x)

    def observed_data(self) -> dict[str, np.ndarray]:
        return self.inner.observed_data()

    def constant_data(self) -> dict[str, np.ndarray]:
        return self.inner.constant_data()

    def output_labels(self) -> Labels:
        return self.inner.output_labels()

    def hierarchies(self) -> tuple[Hierarchy, ...]:
        return self.inner.hierarchies()
