"""Fails: an observation of a Gamma is negative, so that the density is zero everywhere."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
    density = dist.Gamma(2.0, rate).log_prob(jnp.array([1.3, 0.4]))
    numpyro.factor("y", jnp.sum(density) + jnp.where(rate > 0, -jnp.inf, 0.0))
