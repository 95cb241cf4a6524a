"""Fails: the log density is an integer, which has no gradient."""

import jax.numpy as jnp


def init():
    return {"mu": 0.3}


def log_density(params):
    return jnp.round(-(params["mu"] ** 2)).astype(int)
