"""Good: two sites with constrained vectors, whose unconstrained shapes differ from their own."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    numpyro.sample("weights", dist.Dirichlet(jnp.array([2.0, 5.0, 0.9])))
    numpyro.sample("correlation", dist.LKJCholesky(3, 2.0))
