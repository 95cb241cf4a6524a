import numpy as np

dims = {"a": ["side"]}
coords = {"side": ["left", "right"]}


def log_density(params, shift):
    return -0.5 * np.sum((params["a"] - shift) ** 2) - params["b"] ** 2


def gradient(params, shift):
    return {"a": -(params["a"] - shift), "b": -2.0 * params["b"]}


def init(shift):
    return {"a": np.zeros(2), "b": 0.3}


def data():
    return {"shift": [0.7, -1.2]}
