"""Until enough: ESS and R̂ so far, looked at on a fixed schedule of draws."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from monochord.convergence import R_HAT_LIMIT, r_hat_limit
from monochord.mixing import convergence
from monochord.sampling._segment import Segment

FIRST_LOOK = 100
FEWEST_DRAWS = 8  # a chain, for an ESS and R̂ to mean anything
GROWTH = 1.2  # of the draws between looks
JUDGED = 32  # coordinates
NUM_BATCHES = 5  # a chain
COLUMNS = 4096  # coordinates put together at a time: a look takes little more memory than the draws
COURTESY = 0.01  # of the time, for looks that only serve progress
NUMBER_SECONDS = 3e-7  # that a look is taken to need for each number it judges


class Standing(NamedTuple):
    """The smallest of bulk and tail ESS and its coordinate, the R̂ furthest above its limit, and whether that is within it.

    `is_split` where chains of separate modes do not agree with each other; the rest is then within modes.
    """

    ess: float
    coordinate: int
    r_hat: float
    has_mixed: bool
    is_split: bool = False


class Monitor:
    """Judges the draws at `FIRST_LOOK`, and each time they have grown by `GROWTH`.

    Of more than `JUDGED` coordinates only the `JUDGED` slowest are, by `slowest`: a look takes most of a millisecond for each.
    They are judged where `place` puts draws: along a map in the target's own coordinates, which are what is reported.
    Chains of separate modes never agree: ESS and R̂ are then those within each group of chains, and the smallest
    ESS of a group counts for all in proportion to its chains.
    """

    def __init__(
        self,
        groups: Sequence[slice],
        target_ess: float | None,
        standing: Standing | None = None,
        place: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ):
        self._groups, self._target, self._place = groups, target_ess, place
        self._clock, self._spent = time.perf_counter(), 0.0
        self._next = FIRST_LOOK
        self.standing = standing

    def next_look(self, done: int) -> int:
        """The first count of draws a chain beyond `done` at which to look."""
        while self._next <= done:
            self._next = int(self._next * GROWTH) + 1
        return self._next

    def last_look(self, segments: Sequence[Segment]) -> None:
        """Judge all draws of a run that ended without being looked at."""
        if sum(segment.x.shape[1] for segment in segments) >= FEWEST_DRAWS:
            self._look(segments)

    def look(self, segments: Sequence[Segment]) -> bool:
        """Judge the draws so far; True where they are enough."""
        started = time.perf_counter()
        if self._target is None:
            numbers = sum(segment.acceptance.size for segment in segments) * min(segments[0].x.shape[2], JUDGED)
            if self._spent + NUMBER_SECONDS * numbers > COURTESY * (started - self._clock):
                return False
        self._look(segments)
        self._spent += time.perf_counter() - started
        assert self.standing is not None
        return self._is_enough(self.standing)

    def _look(self, segments: Sequence[Segment]) -> None:
        placed = [self._place(segment.x) for segment in segments]
        judged = slowest(placed, JUDGED)
        x = np.concatenate([part[:, :, judged] for part in placed], axis=1)
        standing = self._judge(x)
        self.standing = standing._replace(coordinate=int(judged[standing.coordinate]))

    def _is_enough(self, standing: Standing) -> bool:
        return self._target is not None and standing.ess >= self._target and standing.has_mixed

    def _judge(self, x: np.ndarray) -> Standing:
        all_ess, excess, r_hats = [], [], []
        for chains in self._groups:
            ess, r_hat = convergence(x[chains])
            count = x[chains].shape[0]
            limits = np.array([r_hat_limit(value, count) for value in ess])
            all_ess.append(ess * len(x) / count)
            over = np.nan_to_num(r_hat - limits, nan=-np.inf)
            excess.append(float(np.max(over)))
            r_hats.append(float(np.nan_to_num(r_hat, nan=R_HAT_LIMIT)[int(np.argmax(over))]))
        ess = np.min(np.nan_to_num(all_ess, nan=np.inf), axis=0)
        worst = int(np.argmax(excess))
        smallest = float(np.min(ess))
        known = smallest if np.isfinite(smallest) else 0.0
        return Standing(known, int(np.argmin(ess)), r_hats[worst], excess[worst] <= 0.0, self._is_split(x))

    def _is_split(self, x: np.ndarray) -> bool:
        if len(self._groups) < 2:
            return False
        ess, r_hat = convergence(x)
        return any(value > r_hat_limit(own, len(x)) for value, own in zip(r_hat, ess, strict=True))


def slowest(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Indices of `count` coordinates (all, where there are no more) whose means of batches scatter most.

    `parts` are consecutive draws, shape (chains, draws, dim). The variance of batch means over that of draws, the larger
    of x and (x − mean)²: the reciprocal of an ESS, cheap for all coordinates together.
    """
    dim = parts[0].shape[2]
    if dim <= count:
        return np.arange(dim)
    blocks = (slice(start, start + COLUMNS) for start in range(0, dim, COLUMNS))
    scatter = np.concatenate([_scatter(np.concatenate([x[:, :, block] for x in parts], axis=1)) for block in blocks])
    return np.sort(np.argsort(-scatter, kind="stable")[:count])


def _scatter(x: np.ndarray) -> np.ndarray:
    length = max(1, x.shape[1] // NUM_BATCHES)
    scatter = np.zeros(x.shape[2])
    for values in (x, (x - x.mean((0, 1))) ** 2):
        used = values[:, : length * (x.shape[1] // length)]
        means = used.reshape(x.shape[0], -1, length, x.shape[2]).mean(2)
        scatter = np.maximum(scatter, means.var((0, 1)) / np.maximum(values.var((0, 1)), 1e-300))
    return scatter


def spread_sample(x: np.ndarray, count: int) -> np.ndarray:
    """`count` coordinates of draws shaped (chains, draws, dim), evenly spread; all, where there are no more."""
    return x[:, :, np.unique(np.linspace(0, x.shape[2] - 1, min(x.shape[2], count)).astype(int))]
