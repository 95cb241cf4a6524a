"""Programs that compile beside the fit: the same draws, and nothing lost where they do not come."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.arrays import fold_key
from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.sampling import Tuning, compile_ahead
from monochord.sampling import _ahead as ahead_module
from monochord.sampling._blackjax import BlockSpec
from monochord.sampling._chains import Chains, block_capacity
from monochord.targets import evaluate

DIM, DEPTH = 4, 6
pytestmark = pytest.mark.skipif(ahead_module.usable_cores() < 2, reason="one core: nothing is compiled ahead")


def log_density(params, scale):
    return -0.5 * jnp.sum((params["x"] / scale) ** 2)


@pytest.fixture
def target(ugly_scale):
    return mc.target(log_density, init={"x": np.zeros(DIM)}, data={"scale": ugly_scale(DIM)})


@pytest.fixture
def metric(ugly_scale):
    return DenseMetric.from_covariance(np.diag(ugly_scale(DIM) ** 2))


def drawn(target, metric, key, ahead):
    chains = Chains(target, evaluate(target, np.zeros((2, DIM))), key, DEPTH, ahead=ahead)
    try:
        return chains.advance([Tuning(metric, 0.7, 1.6, 0.2)] * 2, "hmc", 8)
    finally:
        chains.close()


def test_draws_are_the_same_to_the_bit(target, metric, key):
    """Catches: numbers of another type than the program's, which would make another program and other roundings."""
    ahead = compile_ahead(target, metric, key, DEPTH, "auto")
    assert ahead is not None
    for field, other in zip(drawn(target, metric, key, ahead), drawn(target, metric, key, None), strict=True):
        np.testing.assert_array_equal(field, other)


def test_a_program_serves_only_what_it_was_made_for(target, metric, key, ugly_scale):
    ahead = compile_ahead(target, metric, key, DEPTH, "auto")
    assert ahead is not None
    spec = BlockSpec("hmc", block_capacity(DIM, 1), DEPTH)
    assert ahead.program(metric, spec) is not None
    assert ahead.program(metric, spec._replace(kernel="nuts")) is None
    assert ahead.program(DiagonalMetric(ugly_scale(DIM)), spec) is None


def test_a_program_that_does_not_compile_is_left_to_the_call(target, metric, key, monkeypatch):
    """Catches: a failure in the thread that ends the run, or that nobody ever hears of."""
    ahead = compile_ahead(target, metric, key, DEPTH, "auto")
    assert ahead is not None
    ahead.program(metric, BlockSpec("hmc", block_capacity(DIM, 1), DEPTH))
    monkeypatch.setattr(ahead, "_program", None)  # as after an exception

    class Broken:
        def compile(self):
            raise RuntimeError("planted")

    ahead._compile(Broken())
    segment = drawn(target, metric, fold_key(key, 1), ahead)
    assert segment.x.shape == (2, 8, DIM)


def test_nothing_is_compiled_where_it_would_not_serve(target, metric, key, monkeypatch):
    """One core, lanes, a model outside JAX, single precision."""

    def numpy_density(params):
        return -0.5 * float(np.sum(params["x"] ** 2))

    host = mc.target((numpy_density, lambda params: {"x": -params["x"]}), init={"x": np.zeros(DIM)})
    assert compile_ahead(host, metric, key, DEPTH, "auto") is None
    assert compile_ahead(target, metric, key, DEPTH, "vectorised") is None
    with jax.enable_x64(False):
        assert compile_ahead(target, metric, key, DEPTH, "auto") is None
    monkeypatch.setattr(ahead_module, "usable_cores", lambda: 1)
    assert compile_ahead(target, metric, key, DEPTH, "auto") is None
