"""What the tests of stores share: a small target, the end of a process, and the comparison bit for bit."""

import jax.numpy as jnp
import numpy as np

import monochord as mc

CLOCKS = ("seconds_import", "seconds_compile", "seconds_fit", "seconds_warmup", "seconds_sampling")
TYPED = ("command",)  # names the store


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def log_density(params, scale):
    """Correlated, unequal scales, a tail that is no Gaussian's."""
    z = (params["x"] - 1.5 - params["shift"]) / scale
    return -0.5 * jnp.sum(z**2) - 0.5 * params["shift"] ** 2 / 0.3**2 - 0.05 * params["shift"] ** 4


def constrain(params, scale):
    return {"x": params["x"], "shift": params["shift"], "total": jnp.sum(params["x"] / scale)}


def make_target(scale=(0.05, 3.0, 20.0)):
    return mc.target(
        log_density, init={"x": np.zeros(3), "shift": 0.0}, data={"scale": np.array(scale)}, constrain=constrain
    )


def assert_same(one, other) -> None:
    """Bit for bit, but for what clocks say and what was typed."""
    groups = {name for name in one.children if name != "observed_data"}
    assert groups == {name for name in other.children if name != "observed_data"}
    for group in groups:
        assert set(one[group].data_vars) == set(other[group].data_vars)
        for name in one[group].data_vars:
            np.testing.assert_array_equal(one[group][name].values, other[group][name].values, err_msg=f"{group}/{name}")
    attributes = [
        {name: value for name, value in tree["sample_stats"].attrs.items() if name not in CLOCKS + TYPED}
        for tree in (one, other)
    ]
    assert attributes[0] == attributes[1]
