"""Whether two modes are the ends of one curved valley: a string between them, relaxed towards the ridge of the density.

A dip on the straight line between two places tells two modes apart only where the posterior is not curved: along a banana both ends are seen
across it. The string method (E, Ren & Vanden-Eijnden 2007, "Simplified and improved string method") moves points on the line uphill and spreads
them evenly again, until they lie along the way of least descent.
"""

import numpy as np
from jaxtyping import Float

from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget, evaluate, idle_lanes

IMAGES, STEPS, ROUNDS = 8, 5, 4  # images fill the lanes of one group
LONGEST = 2.0  # sds that a point may move in a step
BARRIER = 1.5  # nats below the lower end, as between starts of a fit; chains cross what is lower


def are_joined(target: AbstractTarget, first: Gaussian, second: Gaussian) -> tuple[bool, Cost]:
    """Whether some way between two modes falls nowhere below both by more than `BARRIER` nats, and what looking cost.

    The dip is read off points spread evenly, so that a barrier cannot hide between two of them that have slid to either side. True is sure up to the
    distance of the points; a way that is not found in `ROUNDS` rounds counts as none. At most 2 + IMAGES·(1 + ROUNDS·(STEPS + 1)) gradients, in groups.
    """
    ends = evaluate(target, np.stack([first.mean, second.mean]))
    inner = np.linspace(0.0, 1.0, IMAGES + 2)[1:-1, None]
    string = _Points(target, np.asarray(first.mean + inner * (second.mean - first.mean)), idle_lanes(2))
    lower = np.min(ends.log_density)
    metrics = first.metric, second.metric
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            pull = (1.0 - inner) * metrics[0].matvec(string.score) + inner * metrics[1].matvec(string.score)
            string.climb(np.asarray(pull), _length(metrics, pull))
        string = _Points(target, _spread(ends.x, string.x, metrics), string.idle, string.spent)
        if lower - np.min(string.log_density) < BARRIER:
            return True, Cost(2 + string.spent, string.idle)
    return False, Cost(2 + string.spent, string.idle)


class _Points:
    """Points of a string, each with a step of its own that halves where it does not climb."""

    def __init__(self, target: AbstractTarget, x: Float[np.ndarray, "images dim"], idle: int, spent: int = 0):
        self._target, self.x, self.spent, self.idle = target, x, spent, idle
        self.log_density, self.score = self._at(x)
        self._step = np.full(len(x), 0.5)

    def climb(self, pull: Float[np.ndarray, "images dim"], length: Float[np.ndarray, " images"]) -> None:
        """One step uphill along `pull`, for those that it takes there."""
        share = np.minimum(self._step, LONGEST / np.maximum(length, 1e-12))
        moved = self.x + share[:, None] * np.where(np.isfinite(pull), pull, 0.0)
        log_density, score = self._at(moved)
        climbs = log_density > self.log_density
        self._step = np.where(climbs, np.minimum(1.5 * self._step, 2.0), 0.3 * self._step)
        self.x = np.where(climbs[:, None], moved, self.x)
        self.log_density = np.where(climbs, log_density, self.log_density)
        self.score = np.where(climbs[:, None], score, self.score)

    def _at(self, x):
        found = evaluate(self._target, x)
        self.spent, self.idle = self.spent + len(x), self.idle + idle_lanes(len(x))
        finite = found.finite()
        return np.where(finite, found.log_density, -np.inf), np.where(finite[:, None], found.score, 0.0)


def _length(metrics, steps) -> np.ndarray:
    """In sds of the mode in which a step is shorter."""
    return np.min([np.linalg.norm(np.asarray(metric.whiten(np.asarray(steps))), axis=-1) for metric in metrics], axis=0)


def _spread(ends, x, metrics) -> np.ndarray:
    """Points at equal distances along the string."""
    whole = np.concatenate([ends[:1], x, ends[1:]])
    along = np.concatenate([[0.0], np.cumsum(_length(metrics, np.diff(whole, axis=0)))])
    places = np.linspace(0.0, along[-1], len(whole))[1:-1]
    return np.stack([np.interp(places, along, column) for column in whole.T], axis=1)
