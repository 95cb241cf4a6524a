"""The U-turn checks of the iterative tree against BlackJAX's recursive one, which cannot be compiled."""

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc.integrators import IntegratorState, velocity_verlet
from blackjax.mcmc.trajectory import dynamic_progressive_integration, dynamic_recursive_integration

from monochord.metrics import DiagonalMetric
from monochord.sampling._blackjax import BlockSpec, Position, engine_metric, run_block
from monochord.sampling._uturn import any_subtree_turns, empty_checkpoints, with_leaf
from monochord.testing import gaussian_target

DIM = 100
SCALE = np.exp(np.linspace(-1.0, 1.0, DIM))
METRIC = engine_metric(DiagonalMetric(SCALE * np.exp(0.1 * np.cos(np.arange(DIM)))))  # nearly whitened


def _log_density(x):
    return -0.5 * jnp.sum((x / SCALE) ** 2)


KEY = jax.random.key(3)
INTEGRATOR = velocity_verlet(_log_density, METRIC.kinetic_energy)
_ITERATIVE = dynamic_progressive_integration(
    INTEGRATOR,
    METRIC.kinetic_energy,
    with_leaf,
    lambda checkpoints, total, last: any_subtree_turns(METRIC.check_turning, checkpoints, total, last),
    1000.0,
)


@jax.jit
def _iterative(key, start, direction, num_steps, step_size, energy):
    checkpoints = empty_checkpoints(start.momentum, 8)
    return _ITERATIVE(key, start, direction, checkpoints, num_steps, step_size, energy)


def _recursive(robust):
    return dynamic_recursive_integration(
        jax.jit(INTEGRATOR), METRIC.kinetic_energy, METRIC.check_turning, 1000.0, use_robust_uturn_check=robust
    )


def _start(rng):
    x = SCALE * rng.standard_normal(DIM)
    momentum = METRIC.sample_momentum(jax.random.key(int(rng.integers(2**31))), jnp.asarray(x))
    return IntegratorState(jnp.asarray(x), momentum, _log_density(x), jax.grad(_log_density)(x))


def test_the_iterative_checks_equal_the_recursive_ones():
    """Same verdict on every subtree, in both directions, and some that only the checks across halves find.

    Catches: a slot that is off by one, a stale momentum before a right half, a sum that misses a leaf.
    """
    rng = np.random.default_rng(5)
    verdicts, only_across = [], 0
    for case in range(16):
        start, depth, direction = _start(rng), int(rng.integers(2, 5)), 1 if case % 4 < 2 else -1
        period = 2.0 * np.pi / (2**depth - 1)  # steps that bring the tree once around
        step_size = min(1.6, period * float(rng.uniform(0.95, 1.05) if case % 2 else rng.uniform(0.2, 0.8)))
        energy = -start.logdensity + METRIC.kinetic_energy(start.momentum)
        arguments = (start, direction, depth, step_size, energy)
        *_, turns = _iterative(KEY, start, direction, 2**depth, step_size, energy)
        verdicts.append(bool(_recursive(True)(KEY, *arguments)[-1]))
        assert bool(turns) == verdicts[-1], (depth, direction, step_size)
        if case % 2 and verdicts[-1]:
            only_across += not bool(_recursive(False)(KEY, *arguments)[-1])
    assert only_across > 0, "no case here needs the checks across halves"
    assert not all(verdicts)


def test_no_resonance_on_a_whitened_target():
    """Trees of a whitened Gaussian stop at the first turn. Without the checks across halves 30 leapfrogs and more.

    dim 250, step size .421: 2ʲ − 1 steps come close to a whole period.
    """
    dim = 250
    target = gaussian_target(np.linspace(-1.0, 2.0, dim), np.diag(np.exp(np.linspace(-1, 1, dim))))
    metric = DiagonalMetric(np.exp(np.linspace(-0.5, 0.5, dim)))
    x = np.linspace(-1.0, 2.0, dim) + metric.scale * np.random.default_rng(1).standard_normal(dim)
    value, score = jax.value_and_grad(target.log_density)(jnp.asarray(x))
    spec = BlockSpec("nuts", 100, 10)
    _, block = run_block(
        target, metric, Position(jnp.asarray(x), value, score), jax.random.key(2), 0, 100, 0.421, 1.5, spec=spec
    )
    assert float(block.num_steps.mean()) < 16.0
