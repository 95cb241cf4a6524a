"""The U-turn checks of a doubling tree, those across neighbouring subtrees included.

On a well preconditioned target all frequencies agree, and a subtree may span a whole period without either
end turning back on the other: a tree of 2ʲ leaves then doubles on and on. Stan therefore also checks each
half together with the first leaf of the other half (stan-dev/stan pull request 2800). The same is done
here within the iterative scheme of Phan, Pradhan & Jankowiak (2019, arXiv 1912.11554) that BlackJAX uses. The checks
hold at every level, not only where two trees are merged: otherwise a state of the new half could not have
built the same trajectory, and the chain would not leave the posterior invariant.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from monochord.arrays import Array

IsTurning = Callable[..., Array]


class Checkpoints(NamedTuple):
    """Momenta at the even leaves that begin unfinished subtrees, one slot a level.

    `before` holds the momentum of the leaf just before each of them: the last leaf of the left half when the
    slot begins a right half.
    """

    momentum: Float[Array, "levels dim"]
    momentum_sum: Float[Array, "levels dim"]
    before: Float[Array, "levels dim"]
    last: Float[Array, " dim"]
    lowest: Array
    highest: Array


def empty_checkpoints(momentum: Float[Array, " dim"], levels: int) -> Checkpoints:
    """Checkpoints before the first leaf."""
    slots = jnp.zeros((levels, momentum.shape[0]), momentum.dtype)
    zero = jnp.zeros((), jnp.int32)
    return Checkpoints(slots, slots, slots, jnp.zeros_like(momentum), zero, zero)


def with_leaf(checkpoints: Checkpoints, momentum_sum, momentum, leaf) -> Checkpoints:
    """Take in leaf number `leaf` (from 0); `momentum_sum` runs over all leaves up to it, itself included."""
    leaf = jnp.asarray(leaf)
    highest = jnp.bitwise_count(leaf >> 1).astype(jnp.int32)
    num_subtrees = jnp.bitwise_count((~leaf & (leaf + 1)) - 1).astype(jnp.int32)
    lowest = highest - num_subtrees + 1
    is_even = leaf % 2 == 0

    def put(slots, row):
        return slots.at[highest].set(jnp.where(is_even, row, slots[highest]))

    return Checkpoints(
        put(checkpoints.momentum, momentum),
        put(checkpoints.momentum_sum, momentum_sum),
        put(checkpoints.before, checkpoints.last),
        momentum,
        lowest,
        highest,
    )


def any_subtree_turns(is_turning: IsTurning, checkpoints: Checkpoints, momentum_sum, momentum) -> Array:
    """Whether a subtree that ends at the last leaf turns, by itself or across its two halves.

    Slot i begins a subtree that ends here, and slot i + 1 the right half of it; the smallest, at `highest`, has
    two leaves and no halves to check.
    """
    starts, sums, before = checkpoints.momentum, checkpoints.momentum_sum, checkpoints.before

    def check(carry):
        i, _ = carry
        whole = is_turning(starts[i], momentum, momentum_sum - sums[i] + starts[i])
        half = jnp.minimum(i + 1, checkpoints.highest)
        left = is_turning(starts[i], starts[half], sums[half] - sums[i] + starts[i])
        right = is_turning(before[half], momentum, momentum_sum - sums[half] + starts[half] + before[half])
        return i - 1, whole | ((i < checkpoints.highest) & (left | right))

    def unfinished(carry):
        i, turns = carry
        return (i >= checkpoints.lowest) & ~turns

    return jax.lax.while_loop(unfinished, check, (checkpoints.highest, jnp.zeros((), bool)))[1]
