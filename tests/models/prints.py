"""Good, but it prints while it is imported and traced."""

print("hello from the file")


def init():
    return {"mu": 0.3}


def log_density(params):
    print("hello from the density")
    return -0.5 * (params["mu"] / 1.7) ** 2
