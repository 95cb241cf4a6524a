"""Chains advanced side by side in threads, block by block; draws do not depend on how blocks are cut."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from monochord.arrays import Key, fold_key
from monochord.sampling._blackjax import Block, BlockSpec, Position, run_block
from monochord.sampling._settings import Tuning
from monochord.targets import AbstractTarget, Evaluations, raise_failure

BLOCK_SECONDS = 0.25  # how often progress moves and Ctrl-C is heard
BLOCK_NUMBERS = 2_000_000  # doubles one block may hold for each chain


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


class Chains:
    """Current positions of all chains and the counter of iterations that fixes their keys.

    Threads and not one vectorised program: chains then never wait for the deepest tree among them, and
    the compiled function is smaller. `tunings` has one entry a chain wherever it appears.
    """

    def __init__(self, target: AbstractTarget, start: Evaluations, key: Key, max_tree_depth: int, iteration: int = 0):
        self.target = target
        self.num_chains = len(start.x)
        self.iteration = iteration
        self._positions = [Position(*row) for row in zip(*start, strict=True)]
        self._keys = [fold_key(key, chain) for chain in range(self.num_chains)]
        self._capacity = int(np.clip(BLOCK_NUMBERS // target.dim, 8, 256))
        self._max_tree_depth = max_tree_depth
        self._called: set[tuple] = set()  # programs that are compiled
        self._block_length = 1  # nothing is known of the speed: Ctrl-C must be heard soon
        self._pool = ThreadPoolExecutor(min(self.num_chains, os.cpu_count() or 1))

    def advance(self, tunings: Sequence[Tuning], kernel: str, count: int) -> Segment:
        """The next `count` draws of every chain (at most the capacity of a block) by `kernel` "nuts" or "hmc"."""
        spec = BlockSpec(kernel, self._capacity, self._max_tree_depth)

        def one(chain):
            tuning = tunings[chain]
            position, block = run_block(
                self.target, tuning.metric, self._positions[chain], self._keys[chain],
                self.iteration, count, tuning.step_size, tuning.trajectory_length, spec=spec,
            )  # fmt: skip
            return jax.block_until_ready(position), Block(*(np.asarray(field)[:count] for field in block))

        # the first call compiles: were all threads to make it, each would compile the same program
        program = (kernel, type(tunings[0].metric), getattr(tunings[0].metric, "rank", None))
        first = [] if program in self._called else [one(0)]
        self._called.add(program)
        results = [*first, *self._pool.map(one, range(len(first), self.num_chains))]
        raise_failure(self.target)
        self._positions = [position for position, _ in results]
        self.iteration += count
        return Segment(*(np.stack(fields) for fields in zip(*(block for _, block in results), strict=True)))

    def segments(
        self, tunings: Sequence[Tuning], kernel: str, count: int, stops: Callable[[int], int]
    ) -> Iterator[Segment]:
        """Yield segments until `count` draws of every chain are made.

        Their length follows the clock, but none goes beyond `stops(done)`, the next count at which somebody looks.
        """
        done = 0
        while done < count:
            length = min(self._block_length, count - done, stops(done) - done)
            started = time.perf_counter()
            yield self.advance(tunings, kernel, length)
            seconds = max(time.perf_counter() - started, 1e-6)
            wanted = int(length * BLOCK_SECONDS / seconds)
            self._block_length = int(np.clip(wanted, 1, min(2 * self._block_length, self._capacity)))
            done += length

    def ends(self) -> Evaluations:
        """Where every chain stands, with log densities and scores."""
        return Evaluations(
            *(np.stack([np.asarray(value) for value in field]) for field in zip(*self._positions, strict=True))
        )

    def close(self) -> None:
        """Release the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def concatenate(segments: list[Segment]) -> Segment:
    """Join segments along the draw axis."""
    return Segment(*(np.concatenate(fields, axis=1) for fields in zip(*segments, strict=True)))


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
    target_ess: float | None = None
    seconds: float = 0.0
    kernel: str = "nuts"


class Piece(NamedTuple):
    """A few iterations of warm-up: counts so far, and the mean acceptance and step size (first chain) of these."""

    iterations: int
    gradients: int
    acceptance: float
    step_size: float
    num_refinements: int
