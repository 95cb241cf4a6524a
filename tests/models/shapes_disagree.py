"""Fails: three coefficients meet a matrix of two columns."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(3), 1.0))
    numpyro.sample("y", dist.Normal(jnp.ones((5, 2)) @ beta, 1.0), obs=jnp.zeros(5))  # this line
