"""The counter's numbers are exact, inside compiled loops too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.counting import Counter, counted


@pytest.fixture
def counter():
    return Counter()


@pytest.fixture
def density(counter):
    """A normal of unequal scales, counted."""
    return counted(lambda params: -0.5 * jnp.sum((params["x"] / jnp.array([0.3, 1.0, 7.0])) ** 2), counter)


START = {"x": np.array([0.2, -1.0, 3.0])}


def test_a_value_counts_one(density, counter):
    jax.block_until_ready(jax.jit(density)(START))
    assert counter.total == 1


def test_a_value_with_its_gradient_counts_one(density, counter):
    jax.block_until_ready(jax.jit(jax.value_and_grad(density))(START))
    assert counter.total == 1


def test_lanes_count_one_each(density, counter):
    points = {"x": np.arange(15.0).reshape(5, 3)}
    jax.block_until_ready(jax.jit(jax.vmap(jax.grad(density)))(points))
    assert counter.total == 5


def test_a_scan_of_leapfrogs_counts_each(density, counter):
    def leapfrog(carry, _):
        x, momentum = carry
        gradient = jax.grad(density)({"x": x})["x"]
        momentum = momentum + 0.1 * gradient
        return (x + 0.1 * momentum, momentum), None

    jax.block_until_ready(jax.jit(lambda x: jax.lax.scan(leapfrog, (x, x), length=17)[0])(START["x"]))
    assert counter.total == 17


def test_a_while_loop_counts_what_ran(density, counter):
    def body(carry):
        step, x = carry
        return step + 1, x + 0.01 * jax.grad(density)({"x": x})["x"]

    jax.block_until_ready(jax.jit(lambda x: jax.lax.while_loop(lambda c: c[0] < 9, body, (0, x)))(START["x"]))
    assert counter.total == 9


def test_our_own_counts_agree_exactly(density, counter):
    import monochord as mc

    data = mc.sample(mc.target(density, init=START), seed=0, chains=2, draws=50, progress=False)
    attrs = data.sample_stats.attrs
    ours = sum(int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")) + int(attrs["idle_lanes"])
    assert ours == counter.total
