"""What a runner returns, and the clock and counter of its stages."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.clock import CLOCK
from benchmarks.counting import Counter

NUM_CHAINS = int(os.environ.get("BENCHMARK_CHAINS", "4"))
NUM_DRAWS = int(os.environ.get("BENCHMARK_DRAWS", "1000"))
HAS_STATED_DRAWS = "BENCHMARK_DRAWS" in os.environ
STAGES = ("fit", "warmup", "sampling")


class PeerError(Exception):
    """A method that cannot be run here, or says itself that it failed; the message goes into the row."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Draws in unconstrained space, shape (chains, draws, dim), and what they cost by stage.

    `idle_lanes` are evaluations that ran vectorised and that nobody used; they are in no stage.
    `reported` holds the engine's own count, None where it keeps none. `scalars` holds draws (chains, draws) of the
    constrained quantities by their names in the reference, where an engine returns nothing else.
    `seconds` leave out compiling and imports.
    """

    draws: np.ndarray
    gradients: dict[str, int]
    seconds: dict[str, float]
    divergences: int
    idle_lanes: int = 0
    reported: int | None = None
    details: dict[str, str | int | float] = dataclasses.field(default_factory=dict)
    scalars: dict[str, np.ndarray] | None = None


class Stages:
    """Adds up gradients and wall seconds, without compiling and imports, of the stages of a run."""

    def __init__(self, counter: Counter | None):
        self._counter = counter
        self.gradients = dict.fromkeys(STAGES, 0)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.mark()

    def total(self) -> int:
        """Evaluations counted so far."""
        return self._counter.total if self._counter is not None else 0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Charge what happens inside to the stage `name`; its results must have arrived at the end."""
        self.mark()
        try:
            yield
        finally:
            self.charge(name)

    def mark(self) -> None:
        """Let the next charge begin here."""
        self._last = self.total(), CLOCK.working()

    def charge(self, name: str) -> None:
        """Charge to the stage `name` what was spent since the last mark or charge."""
        gradients, seconds = self._last
        self.mark()
        self.gradients[name] += self._last[0] - gradients
        self.seconds[name] += self._last[1] - seconds
