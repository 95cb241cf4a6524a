"""Good: a flat prior and a proper posterior."""

import numpyro
import numpyro.distributions as dist


def model():
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(mu, 0.7), obs=1.3)
