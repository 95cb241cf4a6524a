"""Fails: init holds text."""


def init():
    return {"mu": "zero"}


def log_density(params):
    return -0.5 * params["mu"] ** 2
