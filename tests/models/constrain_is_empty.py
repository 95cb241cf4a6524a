"""Fails: constrain reports nothing."""


def init():
    return {"mu": 0.3}


def log_density(params):
    return -0.5 * params["mu"] ** 2


def constrain(params):
    return {}
