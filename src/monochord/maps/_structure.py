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
MOST = 9.0  # squared correlation that one coordinate may add to a sum: a pair on its own is no driver of many
SAME_SIGN = 1.0  # correlations, in null deviations, from which a coordinate may belong to a pooled driver
EXTRA = 0.0  # null deviations beyond the largest of all pairs without structure, for a pair on its own; each is tried


Pairs = tuple[
    Float[np.ndarray, "num dim"], Float[np.ndarray, "num dim"]
]  # two halves of antithetic draws, in one order


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


def screen(points: Pairs, score: Pairs, unexplained: Pairs) -> Edges:
    """Candidate edges from antithetic pairs of draws of a Gaussian, standardised, in coordinates where it is one.

    `score` are the target's scores at `points`, and `unexplained` what the Gaussian's own leaves of them. What drives a
    scale is odd in z and what bends a location is even: each is read off that part of a pair, free of the other's noise.
    """
    num, dim = points[0].shape
    with np.errstate(divide="ignore"):
        logs = [np.log(np.maximum(part**2, 1e-300)) for part in score]
    odd, z = _standardised((logs[0] - logs[1]) / 2.0), _standardised((points[0] - points[1]) / 2.0)
    scale, strength = np.zeros((dim, dim), bool), np.zeros((dim, dim))
    drivers: list[int] = []
    for _ in range(MAX_DRIVERS):
        pairs = _calibrated(odd.T @ z / math.sqrt(num))
        pairs[:, drivers] = 0.0
        pooled = (np.sum(np.minimum(pairs**2, MOST), axis=0) - (dim - 1)) / math.sqrt(2.0 * max(1, dim - 1))
        best = int(np.argmax(pooled))
        if pooled[best] < POOLED:
            break
        drivers.append(best)
        column = pairs[:, best]
        sign = np.sign(np.sum(column * np.abs(column)))
        scale[:, best], strength[:, best] = column * sign > SAME_SIGN, np.abs(column)
        # chance correlations with this driver would make drivers of others: all that moves with it is taken out
        odd = odd - np.outer(z[:, best], odd.T @ z[:, best] / (z[:, best] @ z[:, best]))
    pairs = np.abs(_calibrated(odd.T @ z / math.sqrt(num)))
    even = (unexplained[0] + unexplained[1]) / 2.0
    bent = np.abs(_calibrated(_standardised(even).T @ _standardised(z**2) / math.sqrt(num)))
    limit = math.sqrt(2.0 * math.log(max(2, dim * dim))) + EXTRA
    pairs[:, drivers] = 0.0
    scale, strength = scale | (pairs > limit), np.maximum(strength, np.where(pairs > limit, pairs, 0.0))
    np.fill_diagonal(scale, False)
    return Edges(tuple(drivers), scale, bent > limit, strength, bent)


def _standardised(values):
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def _calibrated(pairs):
    """Pairs in units of the deviation that most of them have, 1 at least; a coordinate says nothing of itself."""
    np.fill_diagonal(pairs, 0.0)
    away = np.abs(pairs[~np.eye(len(pairs), dtype=bool)])
    return pairs / max(float(np.median(away)) / 0.6745 if away.size else 1.0, 1.0)
