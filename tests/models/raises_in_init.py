"""Fails: init raises."""


def init():
    return {"mu": float("one")}  # this line


def log_density(params):
    return -0.5 * params["mu"] ** 2
