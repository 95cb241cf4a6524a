"""Fails: data() returns a list."""

import numpyro
import numpyro.distributions as dist


def data():
    return [1.0, 2.0]


def model(y):
    numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0), obs=y)
