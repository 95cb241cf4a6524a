"""Predator and prey: the reference posterior with a differential equation inside."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _log_densities as densities
from ._posteriordb_regressions import Parts
from ._problem import Params, zeros

STEPS_PER_UNIT = 20  # step 0.05, the fixed-step solver that MODELS.md names
POPULATION_LIMIT = 1e8  # far beyond any data (77.4); bounds what one step can overflow


def _derivative(theta: jax.Array, state: jax.Array) -> jax.Array:
    prey, predator = state
    return jnp.stack(
        [
            (theta[0] - theta[1] * predator) * prey,
            (-theta[2] + theta[3] * prey) * predator,
        ]
    )


def _runge_kutta_step(theta: jax.Array, state: jax.Array) -> jax.Array:
    step = 1.0 / STEPS_PER_UNIT
    slope1 = _derivative(theta, state)
    slope2 = _derivative(theta, state + 0.5 * step * slope1)
    slope3 = _derivative(theta, state + 0.5 * step * slope2)
    slope4 = _derivative(theta, state + step * slope3)
    return state + step / 6 * (slope1 + 2 * slope2 + 2 * slope3 + slope4)


def _solve(theta: jax.Array, start: jax.Array, times: jax.Array) -> tuple:
    """Integrate from time 0 over unit intervals, one for each entry of `times`.

    Returns the states (times x 2) and whether all stayed positive and bounded.  A
    failed state is replaced by ones, so that nothing after it overflows and gradients
    stay finite where the log density is -inf.
    """

    def advance(carry: tuple, _: None) -> tuple[tuple, None]:
        state, alive = carry
        moved = _runge_kutta_step(theta, state)
        inside = jnp.all((moved > 0) & (moved < POPULATION_LIMIT))
        alive = alive & inside
        return (jnp.where(alive, moved, jnp.ones_like(moved)), alive), None

    def advance_unit(carry: tuple, time: jax.Array) -> tuple[tuple, jax.Array]:
        del time
        carry = jax.lax.scan(advance, carry, None, length=STEPS_PER_UNIT, unroll=4)[0]
        return carry, carry[0]

    started = jnp.all(start < POPULATION_LIMIT)
    carry = (jnp.where(started, start, jnp.ones_like(start)), started)
    (_, alive), states = jax.lax.scan(advance_unit, carry, times)
    return states, alive


def _constrain(params: Params, **_: Any) -> Params:
    return {
        "theta": jnp.exp(params["log_theta"]),
        "z_init": jnp.exp(params["log_z_init"]),
        "sigma": jnp.exp(params["log_sigma"]),
    }


def _log_density(params: Params, *, ts: ArrayLike, y_init: ArrayLike, y: ArrayLike) -> jax.Array:
    values = _constrain(params)
    states, alive = _solve(values["theta"], values["z_init"], jnp.asarray(ts))
    log_states = jnp.concatenate([params["log_z_init"][None, :], jnp.log(states)])
    measured = jnp.concatenate([jnp.asarray(y_init)[None, :], jnp.asarray(y)])
    scale = values["sigma"][None, :] * jnp.ones_like(measured)
    log_likelihood = densities.normal(jnp.log(measured), log_states, scale)
    log_prior = densities.normal(values["theta"][::2], 1.0, 0.5)
    log_prior += densities.normal(values["theta"][1::2], 0.05, 0.05)
    log_prior += densities.log_normal(values["sigma"], -1.0, 1.0)
    log_prior += densities.log_normal(values["z_init"], np.log(10.0), 1.0)
    log_jacobian = sum(jnp.sum(leaf) for leaf in params.values())
    return jnp.where(alive, log_likelihood + log_prior + log_jacobian, -jnp.inf)


def lotka_volterra(raw: dict[str, Any]) -> Parts:
    """Hare and lynx with log-normal errors; -inf where the solver fails."""
    data = {name: np.asarray(raw[name], np.float64) for name in ("ts", "y_init", "y")}
    if not np.array_equal(data["ts"], np.arange(1, len(data["ts"]) + 1)):
        raise ValueError(
            "`ts` of the Lotka-Volterra data is not 1, 2, ..., N. The solver takes "
            "unit intervals from time 0. Use the unchanged posteriordb data."
        )
    init = zeros(log_theta=(4,), log_z_init=(2,), log_sigma=(2,))
    return _log_density, _constrain, init, data
