"""Eight schools in PyMC; takes the data of the NumPyro example."""

import pymc as pm


def model(J, y, sigma):
    with pm.Model(coords={"school": range(J)}) as schools:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        standardised = pm.Normal("standardised", 0.0, 1.0, dims="school")
        theta = pm.Deterministic("theta", mu + tau * standardised, dims="school")
        pm.Normal("obs", theta, sigma, observed=y, dims="school")
    return schools
