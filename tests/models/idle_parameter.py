"""Doubtful: the density does not depend on `unused`, so that its scale grows without end."""


def init():
    return {"mu": 0.3, "unused": 1.0}


def log_density(params):
    return -0.5 * (params["mu"] / 1.7) ** 2
