import pymc as pm


def model(y):
    with pm.Model() as built:
        mu = pm.Normal("mu", 0.0, 2.0)
        pm.Normal("y", mu, 1.5, observed=y)
    return built


def data():
    return {"y": [0.4, 1.3, 2.2]}
