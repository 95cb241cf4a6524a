"""Fails: data() cannot be called without arguments."""

import numpyro
import numpyro.distributions as dist


def data(folder):
    return {"width": 1.7}


def model(width):
    numpyro.sample("mu", dist.Normal(0.0, width))
