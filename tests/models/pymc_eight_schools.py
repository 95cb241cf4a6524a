import numpy as np
import pymc as pm

coords = {"school": list("ABCDEFGH")}

with pm.Model(coords=coords) as model:
    sigma = pm.Data("sigma", np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]), dims="school")
    effects = pm.Data("effects", np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]), dims="school")
    mu = pm.Normal("mu", 0.0, 5.0)
    tau = pm.HalfCauchy("tau", 5.0)
    standardised = pm.Normal("standardised", 0.0, 1.0, dims="school")
    theta = pm.Deterministic("theta", mu + tau * standardised, dims="school")
    pm.Normal("y", theta, sigma, observed=effects, dims="school")
