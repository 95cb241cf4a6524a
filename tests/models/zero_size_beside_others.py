"""Good: one of two parameters has no entries, as a formula without group effects gives."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    numpyro.sample("effects", dist.Normal(jnp.zeros(0), 1.0))
    numpyro.sample("mu", dist.Normal(0.4, 1.7))
