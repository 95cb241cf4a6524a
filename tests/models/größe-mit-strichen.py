"""Good: dashes and umlauts in the file's name and in a parameter's."""


def init():
    return {"größe θ": 0.3}


def log_density(params):
    return -0.5 * (params["größe θ"] / 1.7) ** 2
