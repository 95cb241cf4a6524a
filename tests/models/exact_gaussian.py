"""Good: a fit is exact, so that all importance ratios are equal."""


def init():
    return {"mu": 0.0}


def log_density(params):
    return -0.5 * params["mu"] ** 2
