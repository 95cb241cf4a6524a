"""Fails: the NumPyro model raises."""

import numpyro
import numpyro.distributions as dist


def model():
    numpyro.sample("mu", dist.Normal(0.0, 1.0))
    raise RuntimeError("no such school")  # this line
