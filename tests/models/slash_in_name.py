"""Good: NumPyro's own `scope` puts a slash in names, which xarray does not take."""

import numpyro
import numpyro.distributions as dist
from numpyro.handlers import scope


def part():
    numpyro.sample("mu", dist.Normal(0.4, 1.7))


def model():
    scope(part, "left")()
    scope(part, "right")()
