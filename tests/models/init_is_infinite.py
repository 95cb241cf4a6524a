"""Fails: init is not finite."""


def init():
    return {"mu": float("inf")}


def log_density(params):
    return -0.5 * params["mu"] ** 2
