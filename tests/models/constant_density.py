"""Doubtful: the density is constant."""


def init():
    return {"mu": 0.3}


def log_density(params):
    return 0.0 * params["mu"]
