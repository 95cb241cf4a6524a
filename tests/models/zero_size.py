"""Fails: the only parameter has no entries."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    numpyro.sample("beta", dist.Normal(jnp.zeros(0), 1.0))
