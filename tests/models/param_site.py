"""Fails: `numpyro.param` has no distribution to sample."""

import numpyro
import numpyro.distributions as dist


def model():
    scale = numpyro.param("scale", 1.3)
    numpyro.sample("mu", dist.Normal(0.0, scale))
