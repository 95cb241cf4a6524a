"""`callable_target`: order and names of a pytree, what is traced, and errors that say what to do."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord
from monochord import DataError, ModelError, timing
from monochord.targets import callable_target, check_signature, constrain_draws, evaluate
from monochord.testing import TargetLaws


def _nested(params, y, scale, power=2):
    mu, (tau, beta) = params["mu"], params["a_pair"]
    residual = y - mu[0] + 0.5 * mu[1] - jnp.sum(beta) * 0.3
    return (
        -0.5 * jnp.sum(jnp.abs(residual / scale) ** power)
        - jnp.exp(tau)
        + tau
        - 0.1 * (jnp.sum(beta**2 * jnp.array([1.0, 2.0, 3.0])) + mu[1] ** 2)
    )


def _nested_init():
    return {"mu": np.array([0.7, -0.2]), "a_pair": (-0.4, np.array([[1.5, -2.5, 0.25]]))}


class TestNestedCallableLaws(TargetLaws):
    def target(self):
        return self._make(1.3)

    def other_target(self):
        return self._make(-0.4)

    def _make(self, shift):
        data = {"y": shift + np.array([0.3, 2.2, -1.0]), "scale": [0.5, 1.5, 2.5], "power": 2}
        return callable_target(_nested, _nested_init(), data, _report)


def _report(params, y, scale, power):
    return {"tau": jnp.exp(params["a_pair"][0]), "effect": params["mu"][0] + params["a_pair"][1][0]}


def test_names_and_values_follow_the_pytree():
    """Dictionary keys sort, tuples keep their order, indices count from 0. Catches: names beside the wrong numbers."""
    target = callable_target(_nested, _nested_init(), {"y": np.zeros(3), "scale": np.ones(3)})
    assert target.names == ("a_pair.0", "a_pair.1[0, 0]", "a_pair.1[0, 1]", "a_pair.1[0, 2]", "mu[0]", "mu[1]")
    np.testing.assert_array_equal(target.center, [-0.4, 1.5, -2.5, 0.25, 0.7, -0.2])
    params = target.unravel(np.arange(6.0))
    assert list(params["mu"]) == [4.0, 5.0] and params["a_pair"][0] == 0.0
    np.testing.assert_array_equal(params["a_pair"][1], [[1.0, 2.0, 3.0]])
    draws = constrain_draws(target, np.arange(12.0).reshape(2, 6))
    assert {name: value.shape for name, value in draws.items()} == {
        "a_pair.0": (2,),
        "a_pair.1": (2, 1, 3),
        "mu": (2, 2),
    }
    np.testing.assert_array_equal(draws["mu"], [[4.0, 5.0], [10.0, 11.0]])


def test_a_bare_array_or_number_is_a_model_too():
    """Catches: an empty path without a name."""
    assert callable_target(lambda x: -jnp.sum(x**2), np.zeros(2) + 0.3).names == ("x[0]", "x[1]")
    assert callable_target(lambda x: -(x**2), 0.3).names == ("x",)


def test_density_is_that_of_the_users_function():
    """Same numbers two ways. Catches: data under the wrong name, parameters reordered."""
    data = {"y": np.array([0.3, 2.2, -1.0]), "scale": np.array([0.5, 1.5, 2.5])}
    target = callable_target(_nested, _nested_init(), data)
    expected = _nested({"mu": np.array([0.7, -0.2]), "a_pair": (-0.4, np.array([[1.5, -2.5, 0.25]]))}, **data)
    assert evaluate(target, target.center[None]).log_density[0] == pytest.approx(float(expected), rel=1e-12)


def test_arrays_and_lists_are_traced_and_plain_values_are_static():
    """Catches: an int that is traced (a model uses it as a size), a list that is baked in."""
    seen = {}

    def function(params, size, flag, label, nothing, rate, values, nested):
        seen.update(locals())
        return -jnp.sum(params["x"] ** 2) * jnp.zeros(size).size - jnp.sum(values) * rate - nested["a"][0]

    data = {
        "size": 3,
        "flag": True,
        "label": "b",
        "nothing": None,
        "rate": 0.5,
        "values": [1, 2.5],
        "nested": {"a": [4.0, 1.0]},
    }
    target = callable_target(function, {"x": np.zeros(2)}, data)
    check_signature(target)
    assert (seen["size"], seen["flag"], seen["label"], seen["nothing"], seen["rate"]) == (3, True, "b", None, 0.5)
    assert {name for name, _ in target.static_data} == {"size", "flag", "label", "nothing", "rate"}
    np.testing.assert_array_equal(target.traced_data["values"], [1.0, 2.5])
    np.testing.assert_array_equal(target.traced_data["nested"]["a"], [4.0, 1.0])


def test_static_values_compile_anew_and_traced_ones_do_not():
    """Catches: one compiled function used for two sizes, a number wrapped in an array that is still baked in."""

    def function(params, power, shift):
        return -jnp.sum((params["x"] - shift) ** power)

    def value(power, shift):
        target = callable_target(function, {"x": np.full(2, 0.5)}, {"power": power, "shift": np.asarray(shift)})
        return evaluate(target, target.center[None]).log_density[0]

    timing.listen()
    first, before = value(2, 1.5), timing.num_compiled()
    assert value(2, 2.5) == pytest.approx(-8.0) and first == pytest.approx(-2.0)
    assert timing.num_compiled() == before
    assert value(4, 2.5) == pytest.approx(-32.0)
    assert timing.num_compiled() > before


def test_a_numpy_float_is_traced_though_it_is_a_python_float():
    """Catches: `isinstance(numpy.float64(2.0), float)` taken at its word, so that each value compiles anew."""
    target = callable_target(
        lambda params, scale: -jnp.sum((params["x"] / scale) ** 2), {"x": np.full(2, 0.5)}, {"scale": np.float64(2.0)}
    )
    assert target.static_data == () and float(target.traced_data["scale"]) == 2.0


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda p: p["x"], r"array of shape \(2,\).*Sum over observations"),
        (lambda p: jnp.asarray(3), "type int"),
        (lambda p: 3, "type int"),
        (lambda p: jnp.sum(p["x"]) * 1j, "type complex"),
        (lambda p: None, "returned NoneType"),
        (lambda p: (jnp.sum(p["x"]), 1.0), "returned tuple"),
    ],
)
def test_results_that_are_no_density_are_named(result, words):
    """Catches: a summed vector by accident, a crash deep in JAX."""
    with pytest.raises(ModelError, match=words):
        check_signature(callable_target(result, {"x": np.zeros(2)}))


@pytest.mark.parametrize(
    ("init", "words"),
    [({}, "no parameters"), ({"a": np.zeros(0)}, "no parameters"), ({"a": "b"}, "for `a`"), ({"a": np.nan}, "non-finite entry in `a`"),
     ({"a": [0.5, {"b": np.inf}]}, r"`a\.1\.b`")],
)  # fmt: skip
def test_inits_that_hold_no_numbers_are_refused(init, words):
    """Catches: a fit of nothing, a NaN start that is blamed on the model."""
    with pytest.raises(ModelError, match=words):
        callable_target(lambda p: 0.0, init)


@pytest.mark.parametrize(
    ("value", "words"),
    [(["a", "b"], "'a'"), ([[1.0], [2.0, 3.0]], "ragged"), ([None, 1.0], "None, which is not a number")],
)
def test_data_that_are_no_numbers_are_refused(value, words):
    """Catches: an error from deep inside JAX."""
    with pytest.raises(DataError, match=words):
        callable_target(lambda p, y: 0.0, {"x": 0.5}, {"y": value})


def test_the_users_own_error_is_the_cause():
    """Catches: a wrapper that hides the line of the model that failed."""

    def function(params):
        raise KeyError("of the model")

    with pytest.raises(ModelError, match="of the model") as caught:
        check_signature(callable_target(function, {"x": 0.5}))
    assert isinstance(caught.value.__cause__, KeyError)


def test_observed_data_are_the_arrays():
    """Catches: static values or nested containers in the output group."""
    target = callable_target(_nested, _nested_init(), {"y": [1, 2, 3], "scale": np.full(3, 0.5), "power": 4})
    observed = target.observed_data()
    assert set(observed) == {"y", "scale"}
    np.testing.assert_array_equal(observed["y"], [1, 2, 3])


def test_init_gets_arrays_where_data_are_lists():
    """Catches: data from a JSON file, of which `init` cannot take the shape."""
    target = callable_target_of_lists()
    assert target.dim == 2
    assert np.isfinite(float(target.log_density(target.center)))


def callable_target_of_lists():
    def log_density(params, X):
        return -0.5 * jnp.sum((X @ params) ** 2)

    return monochord.target(
        log_density, init=lambda X: np.zeros(X.shape[1]), data={"X": [[1.0, 0.5], [0.0, 2.0], [1.0, 1.0]]}
    )


def test_a_density_without_init_is_told_what_it_lacks():
    """Catches: a beginner's first mistake answered with NumPyro's words."""
    with pytest.raises(monochord.ModelError, match="if it is a JAX log density of its parameters, pass `init=` too"):
        monochord.target(lambda params: -0.5 * params["x"] ** 2)
