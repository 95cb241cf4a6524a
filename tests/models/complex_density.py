"""Fails: the log density is complex."""

import jax.numpy as jnp


def init():
    return {"mu": 0.3}


def log_density(params):
    return -0.5 * params["mu"] ** 2 + 1j * jnp.sin(params["mu"])
