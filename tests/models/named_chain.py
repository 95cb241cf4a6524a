"""Fails: the output needs the names `chain` and `draw` for itself."""


def init():
    return {"chain": 0.3, "mu": 1.2}


def log_density(params):
    return -0.5 * params["chain"] ** 2 - 0.5 * (params["mu"] / 1.7) ** 2
