"""`Segment`: consecutive draws of all chains; `Piece`: what is noted of some; and what may be held of many."""

from typing import NamedTuple

import numpy as np


class Segment(NamedTuple):
    """Consecutive draws of all chains, leading axes (chains, draws); unconstrained space."""

    x: np.ndarray
    score: np.ndarray
    log_density: np.ndarray
    energy: np.ndarray
    acceptance: np.ndarray
    num_steps: np.ndarray
    diverging: np.ndarray

    @property
    def gradients(self) -> int:
        """Leapfrog steps: one gradient each."""
        return int(self.num_steps.sum())

    def of(self, chains: slice) -> "Segment":
        """The part of some chains."""
        return Segment(*(field[chains] for field in self))

    def without_scores(self) -> "Segment":
        """The same draws, the memory of their scores set free."""
        return self._replace(score=np.zeros((*self.score.shape[:2], 0), self.score.dtype))


class Piece(NamedTuple):
    """A few iterations of warm-up: counts so far, and the mean acceptance and step size (first chain) of these."""

    iterations: int
    gradients: int
    acceptance: float
    step_size: float
    num_refinements: int


def concatenate(segments: list[Segment]) -> Segment:
    """Join segments along the draw axis."""
    return Segment(*(np.concatenate(fields, axis=1) for fields in zip(*segments, strict=True)))


class Held:
    """Draws held in memory: all, or every `stride`-th once there would be more than `most` of each chain."""

    def __init__(self, most: int | None = None):
        self.segments: list[Segment] = []
        self.stride = 1
        self._most, self._rows, self._done = most, 0, 0

    def resume(self, segments: list[Segment], stride: int, done: int) -> None:
        """Hold what another process held when `done` draws of each chain were made."""
        self.segments, self.stride, self._done = list(segments), stride, done
        self._rows = sum(segment.x.shape[1] for segment in segments)

    def add(self, segment: Segment) -> None:
        """Take in the next draws."""
        count = segment.x.shape[1]
        if self.stride > 1:
            segment = Segment(*(field[:, -self._done % self.stride :: self.stride].copy() for field in segment))
        self._done += count
        if segment.x.shape[1]:
            self.segments.append(segment.without_scores())
            self._rows += segment.x.shape[1]
        while self._most is not None and self._rows > self._most:
            self.segments = [Segment(*(field[:, ::2].copy() for field in concatenate(self.segments)))]
            self.stride, self._rows = 2 * self.stride, self.segments[0].x.shape[1]
