"""Chains as lanes of one compiled program, shared out over this process's devices."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from monochord.arrays import Key
from monochord.compiling import compiled
from monochord.sampling._blackjax import Block, BlockSpec, Position, run_block
from monochord.sampling._settings import Tuning
from monochord.targets import AbstractTarget, Evaluations, lanes, takes_turns

AXIS = "chains"


class Lanes:
    """All chains under one metric advance together; each device loops over its own share and waits for no other.

    Within a device every lane waits for the deepest tree of each draw: `advance` counts what idles. On a CPU, chains whose
    model or metric factors matrices take turns, as `lanes` says.
    """

    def __init__(self, target: AbstractTarget, keys: Sequence[Key], ahead=None):
        self._target = target
        self._words = np.stack([np.asarray(jax.random.key_data(key)) for key in keys])
        self._devices = jax.local_devices()[: len(keys)]

    def advance(
        self, ends: Evaluations, iteration: int, tunings: Sequence[Tuning], count: int, spec: BlockSpec
    ) -> tuple[list[np.ndarray], int]:
        """The fields of a segment for these chains, leading axes (chains, count), and the gradients that idle lanes cost."""
        groups: dict[int, list[int]] = {}
        for chain, tuning in enumerate(tunings):
            groups.setdefault(id(tuning.metric), []).append(chain)
        parts, idle = [], 0
        for chains in groups.values():
            block, wasted = self._advance(
                chains,
                Evaluations(*(field[chains] for field in ends)),
                iteration,
                [tunings[i] for i in chains],
                count,
                spec,
            )
            parts.append(block)
            idle += wasted
        order = np.argsort(np.concatenate(list(groups.values())), kind="stable")
        return [np.concatenate(fields)[order] for fields in zip(*parts, strict=True)], idle

    def _advance(self, chains, ends: Evaluations, iteration, tunings, count, spec):
        devices = self._devices[: len(chains)]
        padded = -(-len(chains) // len(devices)) * len(devices)
        place = np.minimum(np.arange(padded), len(chains) - 1)  # lanes to spare repeat the last chain
        steps = np.array([tunings[i].step_size for i in place])
        lengths = np.array([tunings[i].trajectory_length for i in place])
        jitters = np.array([tunings[i].jitter for i in place])
        position = Position(*(np.asarray(field[place]) for field in ends))  # pyright: ignore[reportArgumentType]
        block, in_turn = _run_lanes(
            self._target, tunings[0].metric, position, self._words[chains][place], np.int32(iteration), np.int32(count),
            steps, lengths, jitters, spec=spec, mesh=Mesh(np.array(devices), (AXIS,)),
        )  # fmt: skip
        block = [np.asarray(field)[:, :count] for field in block]
        num_steps = block[Block._fields.index("num_steps")]
        share = num_steps.reshape(len(devices), -1, count)
        spent = share.sum() if in_turn else (share.max(axis=1) * share.shape[1]).sum()
        return [field[: len(chains)] for field in block], int(spent - num_steps[: len(chains)].sum())

    def close(self) -> None:
        """Nothing is held."""


@compiled(static_argnames=("spec", "mesh"))
def _run_lanes(target, metric, position, words, first, count, steps, lengths, jitters, *, spec, mesh):
    """Blocks of all chains, and whether chains of one device took turns."""

    def lane(target, metric, first, count, x, log_density, score, words, step, length, jitter):
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        return run_block(
            target, metric, Position(x, log_density, score), key, first, count, step, length, jitter, spec=spec
        )[1]  # fmt: skip

    def share(target, metric, first, count, *points):
        return lanes(partial(lane, target, metric, first, count))(*points)

    whole, split, points = PartitionSpec(), PartitionSpec(AXIS), (*position, words, steps, lengths, jitters)
    block = jax.shard_map(
        share, mesh=mesh, in_specs=(whole,) * 4 + (split,) * len(points), out_specs=split, check_vma=False
    )(target, metric, first, count, *points)  # fmt: skip
    return block, takes_turns(partial(lane, target, metric, first, count), *points)
