"""Functions compiled with options for their user's wait."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord import compiling
from monochord.compiling import Compiled, compiled, compiler_options


@compiled(static_argnames="power")
def total(x, *, power: int):
    """A sum of powers."""
    return jnp.sum(x**power)


def test_values_are_those_of_the_function():
    assert float(total(np.arange(4.0), power=2)) == 14.0
    assert total.__doc__ == "A sum of powers."


def test_inside_another_traced_function_it_is_a_part_of_it():
    x = np.arange(4.0)
    np.testing.assert_allclose(jax.grad(lambda x: total(x, power=2))(x), 2 * x)
    assert float(jax.jit(lambda x: total(x, power=3))(x)) == 36.0
    np.testing.assert_allclose(jax.vmap(lambda x: total(x, power=2))(np.stack([x, 2 * x])), [14.0, 56.0])


def test_one_program_a_structure():
    function = Compiled(lambda x: 2.0 * x)
    function(np.zeros(3))
    function(np.ones(3))
    assert function.program._cache_size() == 1


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_options_are_taken_where_this_version_knows_them():
    assert compiler_options("cpu") == compiling.CPU_OPTIONS
    assert compiler_options("gpu") is None


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_a_version_that_does_not_know_them_goes_without(monkeypatch):
    monkeypatch.setattr(compiling, "CPU_OPTIONS", {"xla_cpu_no_such_option": True})
    compiler_options.cache_clear()
    try:
        assert compiler_options("cpu") is None
        assert float(Compiled(lambda x: x + 1.0)(np.float64(1.0))) == 2.0
    finally:
        compiler_options.cache_clear()
