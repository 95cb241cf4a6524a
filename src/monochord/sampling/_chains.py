"""Chains advanced side by side, block by block; draws do not depend on how blocks are cut."""

import abc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from monochord.arrays import Key, fold_key
from monochord.errors import DataError
from monochord.sampling._blackjax import BlockSpec
from monochord.sampling._hosts import gathered, num_hosts, own_part
from monochord.sampling._segment import Segment
from monochord.sampling._settings import Tuning
from monochord.sampling._threads import Threads
from monochord.sampling._vectorised import Lanes
from monochord.targets import AbstractTarget, Evaluations, calls_back, raise_failure, running

BLOCK_SECONDS = 0.25  # how often progress moves and Ctrl-C is heard
BLOCK_NUMBERS = 2_000_000  # doubles one block may hold for each chain
FREE_LANES = 8  # lanes that may each hold so many
PIECE_DRAWS = 50  # of a chain at a time, where lengths must not depend on a clock


class AbstractJournal(abc.ABC):
    """Segments that a former process drew, in order, and a place to add to them."""

    @abc.abstractmethod
    def recorded(self) -> Segment | None:
        """The next segment that a former process recorded; None where this one draws it."""

    @abc.abstractmethod
    def record(self, segment: Segment) -> None:
        """Record a segment that was drawn now.

        **Raises** `OutputError` where it cannot be written.
        """


class Chains:
    """Current positions of all chains and the counter of iterations that fixes their keys.

    The key of a transition depends on the run's key, the chain and the iteration, and on nothing of the machine: however
    many threads, devices or processes draw, the draws are the same to rounding. `tunings` has one entry a chain wherever
    it appears.
    """

    def __init__(
        self,
        target: AbstractTarget,
        start: Evaluations,
        key: Key,
        max_tree_depth: int,
        iteration: int = 0,
        journal: AbstractJournal | None = None,
        chain_method: str = "auto",
        ahead=None,
    ):
        self.target = target
        self.num_chains = len(start.x)
        self.iteration = iteration
        self.idle_lanes = 0
        self._ends = start
        self._own = own_part(self.num_chains)
        vectorised = is_vectorised(target, chain_method)
        self._capacity = block_capacity(target.dim, len(self._own) if vectorised else 1)
        self._max_tree_depth = max_tree_depth
        self._journal = journal
        self._block_length = 1  # nothing is known of the speed: Ctrl-C must be heard soon
        keys = [fold_key(key, chain) for chain in self._own]
        self._engine = (Lanes if vectorised else Threads)(target, keys, ahead)

    @property
    def piece(self) -> int:
        """Draws of a chain at a time, where lengths must not depend on a clock."""
        return min(piece_draws(self.target.dim), self._capacity)

    def advance(self, tunings: Sequence[Tuning], kernel: str, count: int) -> Segment:
        """The next `count` draws of every chain (at most the capacity of a block) by `kernel` "nuts" or "hmc".

        **Raises** `ModelError` where the target raised while it was evaluated.
        """
        segment = self._journal.recorded() if self._journal is not None else None
        if segment is None:
            segment = self._drawn(tunings, kernel, count)
            if self._journal is not None:
                self._journal.record(segment)
        elif segment.x.shape[:2] != (self.num_chains, count):
            raise DataError(
                f"the store holds {segment.x.shape[1]} recorded draws where this run makes {count}. Another version of Monochord, "
                "or another model, wrote them. Resume with that one, or sample anew."
            )
        self._ends = Evaluations(segment.x[:, -1], segment.log_density[:, -1], segment.score[:, -1])
        self.iteration += count
        return segment

    def _drawn(self, tunings: Sequence[Tuning], kernel: str, count: int) -> Segment:
        spec = BlockSpec(kernel, self._capacity, self._max_tree_depth)
        own = slice(self._own.start, self._own.stop)
        ends = Evaluations(*(np.asarray(field[own]) for field in self._ends))
        with running():
            fields, idle = self._engine.advance(ends, self.iteration, tunings[own], count, spec)
            raise_failure(self.target)
        self.idle_lanes += idle
        return Segment(*gathered(fields, self.num_chains))

    def segments(
        self,
        tunings: Sequence[Tuning],
        kernel: str,
        count: int,
        stops: Callable[[int], int],
        done: int = 0,
        is_paced: bool = True,
        piece: int | None = None,
    ) -> Iterator[Segment]:
        """Yield segments until `count` draws of every chain are made, `done` of which there are.

        Their length follows the clock where `is_paced`, else it is `piece`, but none goes beyond `stops(done)`, the next count at which
        somebody looks.
        """
        while done < count:
            most = self._block_length if is_paced and num_hosts() == 1 else piece or self.piece
            length = min(most, count - done, stops(done) - done)
            started = time.perf_counter()
            yield self.advance(tunings, kernel, length)
            seconds = max(time.perf_counter() - started, 1e-6)
            wanted = int(length * BLOCK_SECONDS / seconds)
            self._block_length = int(np.clip(wanted, 1, min(2 * self._block_length, self._capacity)))
            done += length

    def ends(self) -> Evaluations:
        """Where every chain stands, with log densities and scores."""
        return Evaluations(*(np.array(field) for field in self._ends))

    def close(self) -> None:
        """Release the threads."""
        self._engine.close()


def block_capacity(dim: int, lanes: int) -> int:
    """Draws of a chain that one call may make, when so many chains run as lanes of a program."""
    return int(np.clip(BLOCK_NUMBERS // (dim * max(1, lanes // FREE_LANES)), 10, 256))


def piece_draws(dim: int) -> int:
    """Draws of a chain at a time, where lengths must not depend on a clock."""
    return min(PIECE_DRAWS, int(np.clip(BLOCK_NUMBERS // dim, 10, 256)))


def is_vectorised(target: AbstractTarget, chain_method: str) -> bool:
    """Whether chains run as lanes of one program: on an accelerator and over several devices, unless the target forbids it
    or calls Python.

    On one CPU they run in threads: none waits for the deepest tree among them, and two threads keep two cores busy.
    """
    if chain_method == "threads" or not target.vectorised:
        return False
    if chain_method == "auto" and jax.default_backend() == "cpu" and jax.local_device_count() == 1:
        return False
    return not calls_back(target.log_density, target.center)


ProgressCallback = Callable[["SamplingInfo"], None]


class SamplingInfo(NamedTuple):
    """One report of progress: `draws` of `total` iterations a chain in this `stage`.

    `gradients` and `seconds` are of this stage; `ess` and `r_hat` are of the worst coordinate so far, and `target_ess`
    is what the run waits for, all None where nobody looked.
    """

    stage: str
    draws: int
    total: int
    gradients: int
    divergences: int
    acceptance: float
    step_size: float
    ess: float | None = None
    r_hat: float | None = None
    target_ess: float | int | None = None
    seconds: float = 0.0
    kernel: str = "nuts"
