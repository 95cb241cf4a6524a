"""A mode's direction in the user's parameters: "0.81 mu − 0.52 alpha[3] …"."""

import dataclasses

import numpy as np
from jaxtyping import Float

from monochord.metrics import AbstractMetric

NUM_TERMS = 4
SMALL = 0.15  # a coefficient below it is not shown


@dataclasses.dataclass(frozen=True)
class Direction:
    """The largest coefficients of a unit vector, in units of the metric's own scale of each parameter.

    `coefficients` and `names` are in order of size; `share` is the part of the squared length they cover.
    """

    names: tuple[str, ...]
    coefficients: tuple[float, ...]
    share: float

    def __str__(self) -> str:
        parts = []
        for index, (name, value) in enumerate(zip(self.names, self.coefficients, strict=True)):
            sign = ("−" if value < 0 else "") if index == 0 else (" − " if value < 0 else " + ")
            parts.append(f"{sign}{abs(value):.2f} {name}")
        return "".join(parts) + (" …" if self.share < 0.99 else "")


def direction_of(
    metric: AbstractMetric, mode: Float[np.ndarray, " dim"] | None, names: tuple[str, ...]
) -> Direction | None:
    """The direction L·mode of unconstrained space, each coordinate over its √Σ_ii, normalised, first sign positive."""
    if mode is None:
        return None
    vector = np.asarray(metric.unwhiten(mode)) / np.sqrt(np.asarray(metric.diagonal()))
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0:
        return None
    vector = vector / norm
    order = np.argsort(-np.abs(vector), kind="stable")[:NUM_TERMS]
    order = [int(i) for k, i in enumerate(order) if k == 0 or abs(vector[i]) >= SMALL]
    sign = np.sign(vector[order[0]])
    return Direction(
        tuple(names[i] for i in order),
        tuple(float(sign * vector[i]) for i in order),
        float(np.sum(vector[order] ** 2)),
    )
