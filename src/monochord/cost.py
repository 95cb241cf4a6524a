"""`Cost`: what a piece of work spent, in gradient evaluations."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Work counted in gradient evaluations, of every start and stage, failed ones included.

    A point of a batch is one, a leapfrog step one, a Hessian-vector product two. `idle_lanes` are
    evaluations that the vectorised hardware made beside them and no result used.
    """

    gradients: int = 0
    idle_lanes: int = 0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(self.gradients + other.gradients, self.idle_lanes + other.idle_lanes)
