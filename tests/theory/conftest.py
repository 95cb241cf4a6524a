"""Many chains of the library's own kernels, started at stationarity, and random positive definite matrices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.arrays import fold_key
from monochord.sampling._blackjax import BlockSpec, Position, run_block
from monochord.targets import callable_target, evaluate


def _diagonal_gaussian(params, mean, scale):
    return -0.5 * jnp.sum(((params["x"] - mean) / scale) ** 2)


@pytest.fixture
def diagonal_gaussian():
    """`(mean, scale) -> target`, a Gaussian whose gradient costs O(dim): one compiled function for each dim."""

    def make(mean, scale):
        data = {"mean": np.asarray(mean, dtype=np.float64), "scale": np.asarray(scale, dtype=np.float64)}
        return callable_target(_diagonal_gaussian, {"x": np.zeros(len(scale))}, data)

    return make


@partial(jax.jit, static_argnames="spec")
def _all_chains(target, metric, positions, keys, step_size, length, *, spec):
    def one(position, key):
        return run_block(target, metric, position, key, 0, spec.capacity, step_size, length, spec=spec)[1]

    if spec.kernel == "nuts":  # one after the other: side by side every tree would wait for the deepest
        return jax.lax.map(lambda chain: one(*chain), (positions, keys))
    return jax.vmap(one)(positions, keys)


@pytest.fixture
def simulate(key):
    """`(target, metric, starts, kernel, count, step_size, length) -> Block` with leading axes (chains, draws).

    All chains run in one compiled program; their keys depend on the test's name and `stream`.
    """

    def run(target, metric, starts, kernel, count, step_size, length=1.0, max_tree_depth=10, stream=0):
        spec = BlockSpec(kernel, count, max_tree_depth)
        metric = jax.tree.map(jnp.asarray, metric)
        position = Position(*(jnp.asarray(part) for part in evaluate(target, starts)))
        keys = jax.random.split(fold_key(key, stream), len(starts))
        return jax.tree.map(np.asarray, _all_chains(target, metric, position, keys, step_size, length, spec=spec))

    return run


@pytest.fixture
def random_spd(rng):
    """`(dim, spread) -> H`: random eigenvectors, log eigenvalues normal with that spread, unequal scales."""

    def make(dim: int, spread: float = 1.0) -> np.ndarray:
        rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        scale = np.exp(0.5 * rng.standard_normal(dim))
        matrix = (rotation * np.exp(spread * rng.standard_normal(dim))) @ rotation.T * np.outer(scale, scale)
        return (matrix + matrix.T) / 2

    return make
