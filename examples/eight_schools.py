"""Eight schools (Rubin 1981), non-centred: effects of coaching on test scores, partly pooled."""

import numpyro
import numpyro.distributions as dist


def model(J, y, sigma):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", J):
        standardised = numpyro.sample("standardised", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * standardised)
        numpyro.sample("obs", dist.Normal(theta, sigma), obs=y)
