"""Energy errors along trajectories of the sampler's own integrator, BlackJAX's velocity Verlet."""

import jax
import jax.numpy as jnp
from blackjax.mcmc.integrators import IntegratorState, velocity_verlet
from jaxtyping import Float

from monochord.arrays import Array
from monochord.compiling import compiled
from monochord.metrics import AbstractMetric
from monochord.sampling._blackjax import engine_metric
from monochord.targets import AbstractTarget


@compiled(static_argnames="num_steps")
def energy_errors(
    target: AbstractTarget,
    metric: AbstractMetric,
    points: Float[Array, "n dim"],
    noise: Float[Array, "n dim"],
    step_sizes: Float[Array, " n"],
    *,
    num_steps: int,
) -> Float[Array, "n steps"]:
    """Energy after each of `num_steps` leapfrogs minus the energy at the start, in nats; infinite where it is not a number.

    `points` are unconstrained, `noise` whitened momenta, a step size for each. It costs ``n · num_steps`` gradients.
    """
    kinetic = engine_metric(metric).kinetic_energy
    leapfrog = velocity_verlet(target.log_density, kinetic)  # pyright: ignore[reportArgumentType]

    def one(point, normal, step_size):
        momentum = metric.unwhiten_covector(normal)
        density, score = jax.value_and_grad(target.log_density)(point)
        start = kinetic(momentum) - density

        def step(state, _):
            state = leapfrog(state, step_size)
            error = kinetic(state.momentum) - state.logdensity - start
            return state, jnp.where(jnp.isnan(error), jnp.inf, error)

        return jax.lax.scan(step, IntegratorState(point, momentum, density, score), None, length=num_steps)[1]

    return jax.vmap(one)(points, noise, step_sizes)
