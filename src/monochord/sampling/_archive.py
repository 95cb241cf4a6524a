"""What the chains need of a place where a run is recorded, so that another process can take it up."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from monochord.cost import Cost
from monochord.sampling._chains import AbstractJournal
from monochord.sampling._enough import Standing
from monochord.sampling._pilot import Pilot
from monochord.sampling._segment import Piece, Segment
from monochord.sampling._settings import Standpoint


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """The outcome of warm-up and what it spent, the pilot of kernels and draws that were given up included."""

    gradients: int
    iterations: int
    acceptance: float
    num_refinements: int
    num_restarts: int
    pilot: Pilot
    trace: tuple[Piece, ...] = ()


@dataclasses.dataclass(frozen=True)
class Beginning:
    """What came before the draws that are kept."""

    begin: Standpoint
    warmup: WarmUp | None
    cost_starts: Cost = Cost()
    seconds_warmup: float = 0.0


@dataclasses.dataclass(frozen=True)
class Stretch:
    """All that is known of the kept draws but the draws themselves: enough to go on bit for bit.

    `stands` is where the chains stand after `done` draws each, every `stride`-th of which is held; `evidence` is the state of an `EvidenceSum`.
    """

    beginning: Beginning
    stands: Standpoint
    done: int
    gradients: int
    divergences: int
    idle_lanes: int
    stride: int
    standing: Standing | None
    evidence: tuple[Any, ...] | None
    seconds: float


class AbstractArchive(AbstractJournal):
    """A place where a run is recorded while it goes on.

    Segments drawn before the first block of kept draws are recorded one by one, and handed out again in the same order to
    a process that repeats the decisions of warm-up. From the first block on there are blocks, each with its `Stretch`.
    `most_held` is how many draws of each chain may be held in memory; looks at ESS see every other draw beyond it, then
    every fourth, and so on.
    """

    most_held: int

    @abc.abstractmethod
    def stretch(self) -> tuple[Stretch, list[Segment]] | None:
        """Where the last block of a former process ended, and the draws that looks need; None before the first block."""

    @abc.abstractmethod
    def next_cut(self, done: int) -> int:
        """The first count of kept draws beyond `done` at which a segment must end: cuts decide how sums are rounded."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Draws are kept from here on; those of an earlier stretch were given up."""

    @abc.abstractmethod
    def keep(self, segment: Segment, done: int, stretch: Callable[[], Stretch] | None) -> None:
        """Take in draws; `done` of each chain are made. A block is written where one is full and `stretch` is not None.

        **Raises** `OutputError` where it cannot be.
        """
