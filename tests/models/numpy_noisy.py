import numpy as np

rng = np.random.default_rng(0)
model = (lambda x: -0.5 * x @ x + rng.standard_normal(), lambda x: -x)


def init():
    return np.zeros(2)
