import pymc as pm

with pm.Model() as model:
    k = pm.Poisson("k", 3.0)
    pm.Normal("y", k, 1.0, observed=2.0)
