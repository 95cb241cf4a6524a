"""What changes a model's fingerprint, and what does not."""

import jax
import jax.numpy as jnp
import numpy as np

import monochord as mc
from monochord.store import fingerprint
from tests.store.crashes import make_target

DATA = {"y": np.array([0.3, -1.2, 2.0])}
INIT = {"mu": 0.0}


def _changed(one, other) -> set[str]:
    first, second = fingerprint(one), fingerprint(other)
    return {name for name in {*first, *second} if first.get(name) != second.get(name)}


def test_data_and_code_are_told_apart():
    """Catches: data that are not hashed, names that hide what changed."""
    target = make_target()
    assert _changed(target, make_target()) == set()
    assert _changed(target, make_target((0.05, 3.0, 20.1))) == {"`scale`"}

    def density(params, y):
        return -0.5 * jnp.sum((y - params["mu"]) ** 2)

    def renamed(params, y):  # a comment and other names
        difference = y - params["mu"]
        return -0.5 * jnp.sum(difference**2)

    def wider(params, y):
        return -0.6 * jnp.sum((y - params["mu"]) ** 2)

    base = mc.target(density, init=INIT, data=DATA)
    assert _changed(base, mc.target(renamed, init=INIT, data=DATA)) == set()
    assert _changed(base, mc.target(wider, init=INIT, data=DATA)) == {"the log density"}
    assert _changed(base, mc.target(density, init=INIT, data=DATA, constrain=lambda p, y: {"twice": 2 * p["mu"]})) == {
        "the reported quantities"
    }
    assert "coordinates" in _changed(
        base, mc.target(lambda p, y: density({"mu": p["m"]}, y), init={"m": 0.0}, data=DATA)
    )


def test_arrays_that_a_model_closes_over_count():
    """Also inside a compiled function and a loop. Catches: constants hidden in inner traces."""

    def make(values):
        held = jnp.asarray(values)

        @jax.jit
        def inner(mu):
            return jnp.sum((held - mu) ** 2)

        def density(params):
            return jax.lax.fori_loop(0, 2, lambda i, total: total - inner(params["mu"]), 0.0)

        return mc.target(density, init=INIT)

    assert _changed(make([1.0, 2.0]), make([1.0, 2.0])) == set()
    assert _changed(make([1.0, 2.0]), make([1.0, 2.5])) == {"the log density"}


def test_what_jax_cannot_see_into_counts_by_its_source():
    """A target that forbids lanes hides its code behind a callback. Catches: a changed callback that passes."""

    class Hidden(type(make_target())):
        @property
        def vectorised(self):
            return False

    def hidden(function):
        plain = mc.target(function, init=INIT)
        made = object.__new__(Hidden)
        for name, value in vars(plain).items():
            object.__setattr__(made, name, value)
        return made

    def one(params):
        return jax.pure_callback(lambda mu: -0.5 * np.asarray(mu) ** 2, jax.ShapeDtypeStruct((), float), params["mu"])

    def other(params):
        return jax.pure_callback(lambda mu: -0.7 * np.asarray(mu) ** 2, jax.ShapeDtypeStruct((), float), params["mu"])

    assert _changed(hidden(one), hidden(one)) == set()
    assert _changed(hidden(one), hidden(other)) >= {"the source"}
