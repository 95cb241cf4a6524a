"""Good JAX model: a correlated Gaussian with unequal scales; it has a data() of its own."""

import jax.numpy as jnp


def data():
    return {"scale": [0.05, 3.0, 20.0]}


def init(scale):
    return {"x": jnp.zeros(len(scale)), "shift": 0.0}


def log_density(params, scale):
    z = (params["x"] - 1.5 - params["shift"]) / scale
    return -0.5 * jnp.sum(z**2) - 0.5 * params["shift"] ** 2 / 0.3**2
