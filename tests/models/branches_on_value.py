"""Fails: Python's `if` on a parameter cannot be traced."""


def init():
    return {"mu": 0.3}


def log_density(params):
    if params["mu"] > 0:  # this line
        return -params["mu"]
    return params["mu"]
