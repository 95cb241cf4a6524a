"""Good NumPyro model that takes its data from a file."""

import numpyro
import numpyro.distributions as dist


def model(x, y, prior_scale=5.0):
    slope = numpyro.sample("slope", dist.Normal(0.0, prior_scale))
    numpyro.sample("y", dist.Normal(slope * x, 0.7), obs=y)
