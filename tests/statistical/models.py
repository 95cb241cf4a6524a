"""Three models with a prior and data to draw from. Each draws by other code than its log density, so an error in one shows.

Data are few, so that prior, Jacobian and likelihood all matter.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from monochord.targets import callable_target


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """`draw_x(key)` from the prior, flat and unconstrained; `draw_data(key, x)` given it."""

    log_density: Callable
    init: dict
    draw_x: Callable
    draw_data: Callable

    def target(self):
        """A target with data of zero, to be replaced."""
        shapes = jax.eval_shape(self.draw_data, jax.random.key(0), jnp.zeros(sum(map(np.size, self.init.values()))))
        return callable_target(self.log_density, self.init, jax.tree.map(lambda a: np.zeros(a.shape), shapes))

    def target_of(self, data):
        """The target of `data`, which may be traced."""
        return eqx.tree_at(lambda target: target.traced_data, self.target(), data)


DESIGN = np.random.default_rng(8).standard_normal((25, 3)) @ np.array(
    [[1.3, 0.9, 0.0], [0.0, 0.6, -0.4], [0.0, 0.0, 0.5]]
)
BETA_MEAN, BETA_SD = np.array([0.4, -0.7, 0.2]), np.array([1.9, 0.8, 1.2])


def _logistic(params, outcomes):
    logits = DESIGN @ params["beta"]
    prior = -0.5 * jnp.sum(((params["beta"] - BETA_MEAN) / BETA_SD) ** 2)
    return prior + jnp.sum(outcomes * logits - jnp.logaddexp(0.0, logits))


def _draw_beta(key):
    return BETA_MEAN + BETA_SD * jax.random.normal(key, (3,))


def _draw_outcomes(key, x):
    return {"outcomes": jax.random.bernoulli(key, jax.nn.sigmoid(DESIGN @ x)).astype(float)}


GROUP_ERROR = np.array([0.5, 0.9, 1.4, 0.7])


def _hierarchical(params, observed):
    """Non-centred; tau ~ half-normal(1.5), so log tau brings a Jacobian."""
    mu, log_tau, z = params["mu"], params["log_tau"], params["z"]
    tau = jnp.exp(log_tau)
    prior = -0.5 * ((mu - 1.0) / 2.0) ** 2 - 0.5 * (tau / 1.5) ** 2 + log_tau - 0.5 * jnp.sum(z**2)
    return prior - 0.5 * jnp.sum(((observed - mu - tau * z) / GROUP_ERROR) ** 2)


def _draw_hierarchical(key):
    """Flat order is that of the sorted names: log_tau, mu, z."""
    key_tau, key_mu, key_z = jax.random.split(key, 3)
    tau = 1.5 * jnp.abs(jax.random.normal(key_tau))
    mu = 1.0 + 2.0 * jax.random.normal(key_mu)
    return jnp.concatenate([jnp.stack([jnp.log(tau), mu]), jax.random.normal(key_z, (4,))])


def _draw_observed(key, x):
    return {"observed": x[1] + jnp.exp(x[0]) * x[2:] + GROUP_ERROR * jax.random.normal(key, (4,))}


TIMES = np.array([-1.0, -0.4, 0.3, 1.1])


def _growth(params, counts):
    """Counts ~ Poisson(rate · exp(share · time)), rate ~ Gamma(2, 1.4), share ~ Beta(2, 1) in (0, 1)."""
    log_jacobian = params["log_rate"] + jax.nn.log_sigmoid(params["logit"]) + jax.nn.log_sigmoid(-params["logit"])
    return _growth_without_jacobian(params, counts) + log_jacobian


def _growth_without_jacobian(params, counts):
    """The defect: densities of rate and share, taken as those of their logarithm and logit."""
    log_rate, share = params["log_rate"], jax.nn.sigmoid(params["logit"])
    log_mean = log_rate + share * TIMES
    prior = log_rate - 1.4 * jnp.exp(log_rate) + jnp.log(share)
    return prior + jnp.sum(counts * log_mean - jnp.exp(log_mean))


def _draw_growth(key):
    """Gamma(2, ·) is a sum of two exponentials, Beta(2, 1) the larger of two uniforms."""
    uniforms = jax.random.uniform(key, (4,), minval=1e-12)
    rate, share = -jnp.log(uniforms[0] * uniforms[1]) / 1.4, jnp.maximum(uniforms[2], uniforms[3])
    return jnp.stack([jnp.log(rate), jnp.log(share) - jnp.log1p(-share)])


def _draw_counts(key, x):
    """Arrivals of a unit Poisson process before the mean (the mean exceeds 40 once in 10⁷ draws)."""
    mean = jnp.exp(x[0] + jax.nn.sigmoid(x[1]) * TIMES)
    arrivals = jnp.cumsum(jax.random.exponential(key, (4, 60)), axis=1)
    return {"counts": jnp.sum(arrivals <= mean[:, None], axis=1).astype(float)}


_GROWTH_INIT = {"log_rate": 0.1, "logit": -0.2}
MODELS = {
    "logistic": Model(_logistic, {"beta": BETA_MEAN}, _draw_beta, _draw_outcomes),
    "hierarchical": Model(
        _hierarchical, {"log_tau": 0.1, "mu": 1.0, "z": np.zeros(4)}, _draw_hierarchical, _draw_observed
    ),
    "growth": Model(_growth, _GROWTH_INIT, _draw_growth, _draw_counts),
}
GROWTH_WITHOUT_JACOBIAN = dataclasses.replace(MODELS["growth"], log_density=_growth_without_jacobian)
