"""A log density and its gradient in plain NumPy: a Poisson regression. Any language can stand behind such functions."""

import numpy as np


def log_density(params, X, y):
    log_rate = params["intercept"] + X @ params["slopes"]
    prior = -0.5 * params["intercept"] ** 2 / 9.0 - 0.5 * np.sum(params["slopes"] ** 2)
    return np.sum(y * log_rate - np.exp(log_rate)) + prior


def gradient(params, X, y):
    residual = y - np.exp(params["intercept"] + X @ params["slopes"])
    return {
        "intercept": residual.sum() - params["intercept"] / 9.0,
        "slopes": X.T @ residual - params["slopes"],
    }


def init(X, y):
    return {"intercept": 0.0, "slopes": np.zeros(X.shape[1])}


def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    return {"X": X, "y": rng.poisson(np.exp(0.4 + X @ np.array([0.5, -0.3, 0.1])))}
