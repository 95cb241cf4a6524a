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


def test_value_calls_count_one_each_when_a_program_runs_again(density, counter):
    """Catches: a count at tracing time, which a second call of the compiled program would not repeat."""
    value = jax.jit(density)
    for calls in (1, 2, 3):
        jax.block_until_ready(value(START))
        assert counter.total == calls


def test_a_value_outside_a_program_counts_one(density, counter):
    jax.block_until_ready(density(START))
    assert counter.total == 1


def _product(density, point, direction):
    return jax.jvp(lambda x: jax.grad(density)({"x": x})["x"], (point,), (direction,))[1]


DIRECTION = np.array([1.0, -2.0, 0.5])


def test_a_hessian_vector_product_counts_two(density, counter):
    jax.block_until_ready(jax.jit(lambda x, v: _product(density, x, v))(START["x"], DIRECTION))
    assert counter.total == 2


@pytest.mark.parametrize("lanes", ["directions", "points", "both"])
def test_vectorised_products_count_two_a_lane(density, counter, lanes):
    """Catches: lanes of one direction at many points taken for one product."""
    points, directions = np.tile(START["x"], (5, 1)), np.tile(DIRECTION, (5, 1))
    axes = {"directions": (None, 0), "points": (0, None), "both": (0, 0)}[lanes]
    chosen = [many if axis == 0 else many[0] for many, axis in zip((points, directions), axes, strict=True)]
    jax.block_until_ready(jax.jit(jax.vmap(lambda x, v: _product(density, x, v), axes))(*chosen))
    assert counter.total == 10


@pytest.mark.parametrize("hessian", [jax.hessian, lambda f: jax.jacfwd(jax.grad(f))], ids=["hessian", "jacfwd"])
def test_a_hessian_counts_two_a_coordinate_and_keeps_its_value(density, counter, hessian):
    found = jax.jit(hessian(lambda x: density({"x": x})))(START["x"])
    np.testing.assert_allclose(found, np.diag(-1 / np.array([0.3, 1.0, 7.0]) ** 2), rtol=1e-12)
    assert counter.total == 2 * 3


def test_hessians_at_many_points_count_each(density, counter):
    points = np.linspace(-2.0, 1.5, 60).reshape(4, 5, 3)
    jax.block_until_ready(jax.jit(jax.vmap(jax.vmap(jax.hessian(lambda x: density({"x": x})))))(points))
    assert counter.total == 4 * 5 * 2 * 3


def test_a_derivative_that_cannot_be_counted_raises(density):
    """Reverse mode over a gradient would lose the count: no row may come from it."""
    with pytest.raises(NotImplementedError, match="custom_vmap"):
        jax.grad(lambda x: jax.grad(density)({"x": x})["x"] @ DIRECTION)(START["x"])


def test_nested_lanes_count_each(density, counter):
    points = {"x": np.arange(60.0).reshape(4, 5, 3)}
    jax.block_until_ready(jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(density))))(points))
    assert counter.total == 20


def test_lanes_that_differ_in_one_leaf_alone_count_each(counter):
    """Catches: lanes seen in the first leaf only."""
    density = counted(lambda params: -jnp.sum(params["b"] ** 2) * params["a"] ** 2, counter)
    lanes = jax.vmap(lambda b: jax.grad(density)({"a": 0.7, "b": b}))(np.arange(14.0).reshape(7, 2))
    jax.block_until_ready(lanes)
    assert counter.total == 7


def test_a_vectorised_while_loop_counts_idle_lanes_too(density, counter):
    """Every lane runs until the last one stops: what ran is counted, and idle lanes are what nobody used of it."""
    wanted = np.array([2, 5, 9])

    def climb(x, num_steps):
        def body(carry):
            step, x = carry
            return step + 1, x + 0.01 * jax.grad(density)({"x": x})["x"]

        return jax.lax.while_loop(lambda carry: carry[0] < num_steps, body, (0, x))

    used, _ = jax.block_until_ready(jax.jit(jax.vmap(climb))(np.ones((3, 3)), wanted))
    np.testing.assert_array_equal(used, wanted)
    assert counter.total == 3 * 9
    assert counter.total - int(used.sum()) == 7 + 4 + 0  # idle


def test_a_program_called_twice_counts_twice_and_compiles_once(density, counter):
    gradient = jax.jit(jax.grad(density))
    for _ in range(2):
        jax.block_until_ready(gradient(START))
    assert gradient._cache_size() == 1
    assert counter.total == 2


def test_our_own_counts_agree_exactly(density, counter):
    import monochord as mc

    data = mc.sample(mc.target(density, init=START), seed=0, chains=2, draws=50, progress=False)
    attrs = data.sample_stats.attrs
    ours = sum(int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")) + int(attrs["idle_lanes"])
    assert ours == counter.total
