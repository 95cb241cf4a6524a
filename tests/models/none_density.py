"""Fails: the `return` was forgotten."""


def init():
    return {"mu": 0.3}


def log_density(params):
    _ = -0.5 * params["mu"] ** 2
