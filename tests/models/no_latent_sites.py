"""Fails: everything is observed."""

import numpyro
import numpyro.distributions as dist


def model():
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.4)
