"""Fails: two parameters are reported under one name."""


def init():
    return {"a": {"b": 0.3}, "a.b": 1.2}


def log_density(params):
    return -0.5 * params["a"]["b"] ** 2 - 0.5 * (params["a.b"] / 1.7) ** 2
