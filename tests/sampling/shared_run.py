"""One run for tests of devices and processes: python shared_run.py OUTPUT [COORDINATOR PROCESS COUNT] [STORE]."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import monochord as mc


def log_density(params, scale):
    z = (params["x"] - 1.5 - params["shift"]) / scale
    return -0.5 * jnp.sum(z**2) - 0.5 * params["shift"] ** 2 / 0.3**2 - 0.05 * params["shift"] ** 4


def make_target():
    """Slightly off a Gaussian, of unequal scales."""
    data = {"scale": np.array([0.05, 3.0, 20.0])}
    return mc.target(log_density, init={"x": np.zeros(3), "shift": 0.0}, data=data)


def draw(**options):
    """Six chains: no multiple of four devices."""
    given = {"draws": 60, "kernel": "hmc", "progress": False} | options
    return mc.sample(make_target(), seed=3, chains=6, **given)


if __name__ == "__main__":
    output, *where = sys.argv[1:]
    jax.config.update("jax_enable_x64", True)
    if where:
        jax.distributed.initialize(where[0], num_processes=int(where[2]), process_id=int(where[1]))
    data = draw(**({"store": where[3], "block": 20} if len(where) > 3 else {}))
    attrs = data.sample_stats.attrs
    np.savez(
        output, x=data.unconstrained_posterior["x"].values, devices=jax.local_device_count(), hosts=jax.process_count(),
        idle=attrs["idle_lanes"], warmup=attrs["gradients_warmup"],
    )  # fmt: skip
