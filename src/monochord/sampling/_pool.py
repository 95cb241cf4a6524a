"""The pool of recent draws that warm-up learns from: windows, bounds, and whether the chains in it agree."""

from collections.abc import Iterator

import numpy as np

from monochord.mixing import bulk_ess
from monochord.sampling._enough import JUDGED, slowest
from monochord.sampling._segment import Segment
from monochord.targets import Evaluations

FIRST_WINDOW = 20
MAX_WINDOW = 200
POOL_POINTS = 1000


def window_lengths() -> Iterator[int]:
    """20, 20, 40, 40, 80, 80 … iterations a chain."""
    length = FIRST_WINDOW
    while True:
        yield length
        yield length
        length = min(2 * length, MAX_WINDOW)


def bounded(pool: list[Segment]) -> list[Segment]:
    """The later half of the pool, and no more than `POOL_POINTS` points."""
    kept = pool[len(pool) // 2 :]
    while sum(segment.acceptance.size for segment in kept) > POOL_POINTS and len(kept) > 1:
        kept = kept[1:]
    return kept


def pooled(segments: list[Segment]) -> tuple[Evaluations, np.ndarray]:
    """All points with the number of the chain that each belongs to; those that are not finite are left out."""

    def flat(name):
        return np.concatenate([getattr(s, name).reshape(-1, *getattr(s, name).shape[2:]) for s in segments])

    points = Evaluations(*(np.asarray(flat(name), np.float64) for name in ("x", "log_density", "score")))
    chains = np.concatenate([np.repeat(np.arange(s.x.shape[0]), s.x.shape[1]) for s in segments])
    finite = points.finite()
    return points.take(finite), chains[finite]


def agreement(segments: list[Segment]) -> float:
    """Smallest bulk ESS over coordinates (the slowest of very many): small where chains disagree or drift."""
    x = np.concatenate([segment.x for segment in segments], axis=1)
    return float(np.min(bulk_ess(x[:, :, slowest([x], JUDGED)])))
