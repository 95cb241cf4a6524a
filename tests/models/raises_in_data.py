"""Fails: data() raises."""

import numpyro
import numpyro.distributions as dist


def data():
    return {"y": open("/nonexistent/monochord/y.csv").read()}  # this line


def model(y):
    numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0), obs=y)
