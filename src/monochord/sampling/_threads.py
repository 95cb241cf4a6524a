"""Chains in threads on one device: no chain waits for another's trees."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np

from monochord.arrays import Key
from monochord.sampling._blackjax import Block, BlockSpec, Position, plain_numbers, run_block
from monochord.sampling._settings import Tuning
from monochord.targets import AbstractTarget, Evaluations


def usable_cores() -> int:
    """Cores that this process may run on, where the system says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class Threads:
    """One call of the compiled block for each chain, as many at a time as there are cores.

    `ahead` may hold a program that another thread has compiled meanwhile.
    """

    def __init__(self, target: AbstractTarget, keys: Sequence[Key], ahead=None):
        self._target, self._keys, self._ahead = target, list(keys), ahead
        self._called: set[tuple] = set()  # programs that are compiled
        self._pool = ThreadPoolExecutor(min(len(self._keys), usable_cores()))

    def advance(
        self, ends: Evaluations, iteration: int, tunings: Sequence[Tuning], count: int, spec: BlockSpec
    ) -> tuple[list[np.ndarray], int]:
        """The fields of a segment for these chains, leading axes (chains, count), and lanes that idled: none."""
        made = self._ahead.program(tunings[0].metric, spec) if self._ahead is not None else None
        call = made or partial(run_block, spec=spec)

        def one(chain):
            tuning = tunings[chain]
            position = Position(*(np.asarray(field[chain]) for field in ends))  # pyright: ignore[reportArgumentType]
            numbers = plain_numbers(iteration, count, tuning.step_size, tuning.trajectory_length, tuning.jitter)
            _, block = call(self._target, tuning.metric, position, self._keys[chain], *numbers)
            return Block(*(np.asarray(field)[:count] for field in jax.block_until_ready(block)))

        # the first call compiles: were all threads to make it, each would compile the same program
        program = (spec, type(tunings[0].metric), getattr(tunings[0].metric, "rank", None))
        first = [] if made or program in self._called else [one(0)]
        self._called.add(program)
        blocks = [*first, *self._pool.map(one, range(len(first), len(self._keys)))]
        return [np.stack(fields) for fields in zip(*blocks, strict=True)], 0

    def close(self) -> None:
        """Release the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
