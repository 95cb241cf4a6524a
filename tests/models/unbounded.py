"""Doubtful: the density grows for ever along `mu`."""


def init():
    return {"mu": 0.3, "nu": 0.0}


def log_density(params):
    return 2.0 * params["mu"] - 0.5 * (params["nu"] / 0.2) ** 2
