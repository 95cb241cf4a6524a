"""Fails: arguments come by name, which this model refuses."""

import numpyro
import numpyro.distributions as dist


def data():
    return {"width": 1.7}


def model(width, /):
    numpyro.sample("mu", dist.Normal(0.0, width))
