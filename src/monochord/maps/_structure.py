"""Which coordinates drive the scale or bend the location of which others, read off points and scores already paid for.

Under s = −e^{−2σ(z)}(x − ℓ) the log squared score of a coordinate moves linearly with what drives its scale, as in Neal's
funnel, and the part of its score that is not linear in z moves with the square of what bends its location, as in a
Rosenbrock valley. Both are correlations over points; what they are without any structure is read off the bulk of the pairs.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

MAX_DRIVERS = 8  # of the whole target, found by what they do to many coordinates together
POOLED = 6.0  # standard deviations by which all of a driver's squared correlations must exceed their expectation
SAME_SIGN = 1.0  # correlations, in null deviations, from which a coordinate may belong to a pooled driver
EXTRA = 1.0  # null deviations beyond the largest of all pairs without structure, for a pair on its own


class Edges(NamedTuple):
    """Candidate edges, [coordinate, driver]: of scales, and of curved locations; with the strength of each.

    `drivers` are those found by what they do to many coordinates together.
    """

    drivers: tuple[int, ...]

    scale: Bool[np.ndarray, "dim dim"]
    curved: Bool[np.ndarray, "dim dim"]
    scale_strength: Float[np.ndarray, "dim dim"]
    curved_strength: Float[np.ndarray, "dim dim"]

    def any(self) -> bool:
        """Whether there is a candidate at all."""
        return bool(np.any(self.scale) or np.any(self.curved))


def screen(z: Float[np.ndarray, "n dim"], score: Float[np.ndarray, "n dim"], unexplained: Float[np.ndarray, "n dim"]) -> Edges:
    """Candidate edges from standardised points, their scores, and the part of the scores that is not linear in z."""
    n, dim = z.shape
    logs = _standardised(np.log(score**2 + 1e-300))
    scale, strength = np.zeros((dim, dim), bool), np.zeros((dim, dim))
    drivers: list[int] = []
    for _ in range(MAX_DRIVERS):
        pairs = _calibrated(logs.T @ z / math.sqrt(n))
        pairs[:, drivers] = 0.0
        pooled = (np.sum(pairs**2, axis=0) - (dim - 1)) / math.sqrt(2.0 * max(1, dim - 1))
        best = int(np.argmax(pooled))
        if pooled[best] < POOLED:
            break
        drivers.append(best)
        column = pairs[:, best]
        sign = np.sign(np.sum(column * np.abs(column)))
        scale[:, best], strength[:, best] = column * sign > SAME_SIGN, np.abs(column)
        # chance correlations with this driver would make drivers of others: all that moves with it is taken out
        logs = logs - np.outer(z[:, best], logs.T @ z[:, best] / (z[:, best] @ z[:, best]))
    pairs = np.abs(_calibrated(logs.T @ z / math.sqrt(n)))
    bent = np.abs(_calibrated(_standardised(unexplained).T @ _standardised(z**2) / math.sqrt(n)))
    limit = math.sqrt(2.0 * math.log(max(2, dim * dim))) + EXTRA
    pairs[:, drivers] = 0.0
    scale, strength = scale | (pairs > limit), np.maximum(strength, np.where(pairs > limit, pairs, 0.0))
    np.fill_diagonal(scale, False)
    return Edges(tuple(drivers), scale, bent > limit, strength, bent)


def _standardised(values):
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def _calibrated(pairs):
    """Pairs in units of the deviation that most of them have; a coordinate says nothing of itself."""
    np.fill_diagonal(pairs, 0.0)
    away = np.abs(pairs[~np.eye(len(pairs), dtype=bool)])
    return pairs / max(float(np.median(away)) / 0.6745 if away.size else 1.0, 0.3)
