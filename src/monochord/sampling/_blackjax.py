"""NUTS and jittered-length HMC of BlackJAX on our metrics (with `_blackjax_nuts.py` and `_blackjax_energy.py`, the only files that import it).

One block function serves warm-up and sampling: its length, step size and trajectory length are
arguments, so that nothing compiles between them.
"""

from typing import Any, NamedTuple

import blackjax.mcmc.hmc as blackjax_hmc
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc.metrics import Metric as EngineMetric
from jaxtyping import Float, Int

from monochord.arrays import Array, Key
from monochord.compiling import compiled
from monochord.metrics import AbstractMetric
from monochord.sampling._blackjax_nuts import nuts_transition
from monochord.sampling._paced import paced
from monochord.spectra import WIDE
from monochord.targets import AbstractTarget

DIVERGENCE_THRESHOLD = 1000.0  # energy error in nats that Stan and BlackJAX call divergent


class BlockSpec(NamedTuple):
    """What is fixed at compile time."""

    kernel: str
    capacity: int
    max_tree_depth: int


class Position(NamedTuple):
    """A chain's point with its log density and score, unconstrained space."""

    x: Float[Array, " dim"]
    log_density: Float[Array, ""]
    score: Float[Array, " dim"]


class Block(NamedTuple):
    """Draws of one chain; rows beyond the asked count are zero."""

    x: Float[Array, "capacity dim"]
    score: Float[Array, "capacity dim"]
    log_density: Float[Array, " capacity"]
    energy: Float[Array, " capacity"]
    acceptance: Float[Array, " capacity"]
    num_steps: Int[Array, " capacity"]
    diverging: Float[Array, " capacity"]


def engine_metric(metric: AbstractMetric) -> EngineMetric:
    """Our Σ as BlackJAX's kinetic energy: p = L⁻ᵀn, kinetic energy ½‖Lᵀp‖², velocity Σp."""

    def sample_momentum(key, position):
        return metric.unwhiten_covector(jax.random.normal(key, position.shape, position.dtype))

    def kinetic_energy(momentum, position=None):
        return 0.5 * jnp.sum(metric.whiten_covector(momentum) ** 2)

    def check_turning(momentum_left, momentum_right, momentum_sum, position_left=None, position_right=None):
        """Generalised U-turn criterion (Betancourt 2013, arXiv 1304.1920) in whitened momenta."""
        left, right, total = map(metric.whiten_covector, (momentum_left, momentum_right, momentum_sum))
        rho = total - (left + right) / 2
        return (left @ rho <= 0) | (right @ rho <= 0)

    def scale(position, element, *, inv, trans):
        operations = {
            (False, False): metric.unwhiten_covector,
            (False, True): metric.whiten,
            (True, False): metric.unwhiten,
            (True, True): metric.whiten_covector,
        }
        return operations[inv, trans](element)

    return EngineMetric(sample_momentum, kinetic_energy, check_turning, scale)  # pyright: ignore[reportArgumentType]


def plain_numbers(first, count, step_size, trajectory_length, jitter):
    """Of one type wherever they come from: every call of the block is then of the same program, to the last bit."""
    return np.int32(first), np.int32(count), *(np.float64(value) for value in (step_size, trajectory_length, jitter))


@compiled(static_argnames="spec")
def run_block(
    target: AbstractTarget,
    metric: AbstractMetric,
    position: Position,
    key: Key,
    first: int | Int[Array, ""],
    count: int | Int[Array, ""],
    step_size: float | Float[Array, ""],
    trajectory_length: float | Float[Array, ""],
    jitter: float | Float[Array, ""] = WIDE,
    *,
    spec: BlockSpec,
) -> tuple[Position, Block]:
    """Draw `count` (at most `spec.capacity`) iterations of one chain.

    Iteration i uses ``fold_in(key, first + i)``: draws do not depend on how they are cut into blocks.
    """
    step: Any = paced(_nuts_step if spec.kernel == "nuts" else _hmc_step)
    dtype = position.x.dtype
    zeros = jnp.zeros((spec.capacity,), dtype)
    rows = jnp.zeros((spec.capacity, position.x.shape[0]), dtype)
    empty = Block(rows, rows, zeros, zeros, zeros, jnp.zeros((spec.capacity,), jnp.int32), zeros)
    state: Any = blackjax_hmc.HMCState(*tuple[Any, ...](position))  # the engine's annotations say float for arrays

    def body(i, carry):
        state, block = carry
        state, info = step(
            jax.random.fold_in(key, first + i), state, target, metric, step_size, trajectory_length, jitter, spec
        )
        row = Block(
            state.position,
            state.logdensity_grad,
            state.logdensity,
            info.energy,
            info.acceptance_rate,
            info.num_integration_steps,
            info.is_divergent,
        )
        block = jax.tree.map(lambda buffer, value: buffer.at[i].set(jnp.asarray(value, buffer.dtype)), block, row)
        return state, block

    state, block = jax.lax.fori_loop(0, count, body, (state, empty))
    return Position(*state), block


def _nuts_step(key, state, log_density, metric, step_size, trajectory_length, jitter, spec):
    return nuts_transition(
        key, state, log_density, step_size, engine_metric(metric), spec.max_tree_depth, DIVERGENCE_THRESHOLD
    )


def _hmc_step(key, state, log_density, metric, step_size, trajectory_length, jitter, spec):
    """One HMC transition whose length is uniform on 1 ± `jitter` of `trajectory_length`."""
    key_length, key_kernel = jax.random.split(key)
    length = trajectory_length * (1.0 + jitter * jax.random.uniform(key_length, (), state.position.dtype, -1.0, 1.0))
    num_steps = jnp.clip(jnp.round(length / step_size), 1, 2**spec.max_tree_depth - 1).astype(jnp.int32)
    kernel: Any = blackjax_hmc.build_kernel(divergence_threshold=DIVERGENCE_THRESHOLD)
    return kernel(key_kernel, state, log_density, step_size, engine_metric(metric), num_steps)
