"""Fails: a latent site is discrete."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model():
    which = numpyro.sample("which", dist.Categorical(probs=jnp.array([0.3, 0.7])))
    numpyro.sample("y", dist.Normal(which * 2.0, 1.0), obs=1.3)
