"""Steps that follow the position, where a target knows how (`log_step`): shorter where it is stiff, and exactly reversible.

The logarithm e of a step's factor joins the state with e | x ~ N(log_step(x), s²): drawn anew for each transition, which then leaves
p(x) N(e; log_step(x), s²) as it is, its step size fixed and its gradient that of both factors (Gibbs sampling of the step size, as in Bou-Rabee, Carpenter & Marsden 2024, arXiv 2404.15253;
theirs depends on the momentum too, and is a correction of the acceptance). So no trajectory goes much further than its step suits.
"""

from typing import Any

import jax

SCATTER = 0.5  # s: steps of 1.6 times shorter or longer; moves within one transition are about as long in log_step


def paced(transition):
    """`transition(key, state, log_density, metric, step_size, …)` as one that takes a target for `log_density`."""

    def step(key, state, target, metric, step_size, *rest):
        if target.log_step(state.position) is None:
            return transition(key, state, target.log_density, metric, step_size, *rest)
        key_factor, key_step = jax.random.split(key)
        noise = SCATTER * jax.random.normal(key_factor, (), state.position.dtype)
        factor = target.log_step(state.position) + noise

        def suits(x):
            return -0.5 * ((factor - target.log_step(x)) / SCATTER) ** 2

        def joined(state, sign) -> Any:
            value, slope = jax.value_and_grad(suits)(state.position)
            return state._replace(
                logdensity=state.logdensity + sign * value, logdensity_grad=state.logdensity_grad + sign * slope
            )

        new, info = transition(
            key_step, joined(state, 1.0), lambda x: target.log_density(x) + suits(x), metric,
            step_size * jax.numpy.exp(factor), *rest,
        )  # fmt: skip
        end = (
            info.proposal.position if hasattr(info, "proposal") else new.position
        )  # HMC reports the energy of its proposal
        return joined(new, -1.0), info._replace(energy=info.energy + suits(end))

    return step
