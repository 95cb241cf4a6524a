"""Fails: the log density raises."""


def init():
    return {"mu": 0.3}


def log_density(params):
    return params["sigma"]  # this line
