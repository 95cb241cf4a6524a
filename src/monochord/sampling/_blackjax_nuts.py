"""NUTS from BlackJAX's integrator, trajectories and proposals, with U-turn checks across subtrees.

BlackJAX's own `nuts` kernel lacks those checks. Everything else is as there: multinomial sampling, biased
progression at the top (Betancourt 2017, arXiv 1701.02434), the iterative tree.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from blackjax.mcmc.hmc import HMCState
from blackjax.mcmc.integrators import IntegratorState, velocity_verlet
from blackjax.mcmc.proposal import Proposal, progressive_biased_sampling
from blackjax.mcmc.trajectory import (
    Trajectory,
    dynamic_progressive_integration,
    merge_trajectories,
    reorder_trajectories,
)

from monochord.sampling._uturn import any_subtree_turns, empty_checkpoints, with_leaf


class TreeInfo(NamedTuple):
    """What one transition reports; `acceptance_rate` is the mean over all leaves, rejected subtrees included."""

    energy: Any
    acceptance_rate: Any
    num_integration_steps: Any
    is_divergent: Any


class _Tree(NamedTuple):
    depth: Any
    proposal: Any
    trajectory: Any
    checkpoints: Any
    is_divergent: Any
    is_turning: Any


def nuts_transition(
    key, state, log_density, step_size, metric, max_tree_depth: int, divergence_threshold: float
) -> tuple[Any, TreeInfo]:
    """One transition under an engine `metric`; the new `HMCState` and a `TreeInfo`."""
    key_momentum, key_tree = jax.random.split(key)
    momentum = metric.sample_momentum(key_momentum, state.position)
    start = IntegratorState(state.position, momentum, state.logdensity, state.logdensity_grad)
    energy: Any = -state.logdensity + metric.kinetic_energy(momentum)
    grow = dynamic_progressive_integration(
        velocity_verlet(log_density, metric.kinetic_energy),
        metric.kinetic_energy,
        with_leaf,
        lambda checkpoints, total, last: any_subtree_turns(metric.check_turning, checkpoints, total, last),
        divergence_threshold,
    )
    zero, no = jnp.asarray(0), jnp.zeros((), bool)
    tree = _Tree(
        zero,
        Proposal(start, energy, *[jnp.zeros_like(energy), jnp.full_like(energy, -jnp.inf)]),  # pyright: ignore
        Trajectory(start, start, momentum, zero),  # pyright: ignore[reportArgumentType]
        empty_checkpoints(momentum, max_tree_depth),
        no,
        no,
    )
    tree = jax.lax.while_loop(
        lambda tree: (tree.depth < max_tree_depth) & ~tree.is_divergent & ~tree.is_turning,
        lambda tree: _double(jax.random.fold_in(key_tree, tree.depth), tree, grow, metric, step_size, energy),
        tree,
    )
    chosen = tree.proposal.state
    num_leaves = tree.trajectory.num_states
    acceptance = jnp.exp(tree.proposal.sum_log_p_accept) / num_leaves
    info = TreeInfo(tree.proposal.energy, acceptance, num_leaves, tree.is_divergent)
    return HMCState(chosen.position, chosen.logdensity, chosen.logdensity_grad), info


def _double(key, tree: _Tree, grow, metric, step_size, energy) -> _Tree:
    """Double the trajectory in a random direction."""
    key_direction, key_grow, key_choice = jax.random.split(key, 3)
    old = tree.trajectory
    direction = jnp.where(jax.random.bernoulli(key_direction), 1, -1)
    edge = jax.tree.map(
        lambda right, left: jnp.where(direction > 0, right, left), old.rightmost_state, old.leftmost_state
    )
    proposal, new, checkpoints, is_divergent, subtree_turns = grow(
        key_grow, edge, direction, tree.checkpoints, 2**tree.depth, step_size, energy
    )
    # a subtree that failed is left out, but its leaves count in the acceptance statistic
    sampled: Any = progressive_biased_sampling(key_choice, tree.proposal, proposal)
    before = tree.proposal._replace(sum_log_p_accept=sampled.sum_log_p_accept)
    failed = is_divergent | subtree_turns
    kept = jax.tree.map(lambda old, new: jnp.where(failed, old, new), before, sampled)
    ordered: Any = reorder_trajectories(direction, old, new)  # pyright: ignore[reportArgumentType]
    left, right = ordered
    merged = merge_trajectories(left, right)
    turns = (
        _turns(metric, left.leftmost_state, right.rightmost_state, merged.momentum_sum)
        | _turns(metric, left.leftmost_state, right.leftmost_state, left.momentum_sum + right.leftmost_state.momentum)
        | _turns(
            metric, left.rightmost_state, right.rightmost_state, left.rightmost_state.momentum + right.momentum_sum
        )
    )
    return _Tree(tree.depth + 1, kept, merged, checkpoints, is_divergent, subtree_turns | turns)


def _turns(metric, first, last, momentum_sum):
    return metric.check_turning(first.momentum, last.momentum, momentum_sum)
