"""Good NumPyro model whose data() is used without --data."""

import numpy as np
import numpyro
import numpyro.distributions as dist


def data():
    return {"x": np.array([0.5, 1.7, -2.0]), "y": np.array([1.1, 3.2, -4.4])}


def model(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
    numpyro.sample("y", dist.Normal(slope * x, 0.7), obs=y)
