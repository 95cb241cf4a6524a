"""Lanes: points side by side, but matrices factored one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.targets import callable_target, evaluate, hessians, lanes
from monochord.targets._lanes import LAPACK, _primitives

DIM = 6


def _factors(x):
    """A log density with a Cholesky factor inside a compiled function and two solves that do not depend on each other."""

    @jax.jit
    def factor(x):
        return jnp.linalg.cholesky(2 * jnp.eye(DIM) + jnp.outer(x, x))

    lower = factor(x)
    solves = [jax.scipy.linalg.solve_triangular(lower, b, lower=True) for b in (x, jnp.ones(DIM))]
    return -0.5 * jnp.sum(solves[0] ** 2) - jnp.sum(jnp.log(jnp.diag(lower))) - jnp.sum(solves[1] ** 2)


def _plain(x):
    return -0.5 * jnp.sum(jnp.cosh(x))


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)


@pytest.mark.parametrize("derivative", [jax.value_and_grad, jax.hessian])
def test_matrices_are_factored_one_at_a_time(derivative):
    """Catches: a batch of factorisations, two of which can wait for each other for ever on two cores."""
    jaxpr = jax.make_jaxpr(lanes(derivative(_factors)))(jnp.ones((8, DIM))).jaxpr
    calls = [e for e in _equations(jaxpr) if e.primitive.name in LAPACK]
    assert len(calls) >= 3  # factors are found through jit and its derivatives
    side_by_side = jax.make_jaxpr(jax.vmap(derivative(_factors)))(jnp.ones((8, DIM))).jaxpr
    batched = [e for e in _equations(side_by_side) if e.primitive.name in LAPACK and e.invars[0].aval.shape[0] == 8]
    assert batched  # what the check below would see
    if derivative is jax.value_and_grad:  # a Hessian's own directions are a batch, of the caller's making
        assert all(e.invars[0].aval.ndim == 2 for e in calls)


def test_other_functions_lie_side_by_side():
    """Catches: a loop where one vectorised call would do, eight times slower on data matrices."""
    assert "scan" not in set(_primitives(jax.make_jaxpr(lanes(jax.value_and_grad(_plain)))(jnp.ones((8, DIM))).jaxpr))


def test_values_scores_and_hessians_are_those_of_single_points():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((11, DIM))
    for function in (_factors, _plain):
        target = callable_target(function, jnp.zeros(DIM))
        evaluations = evaluate(target, points)
        np.testing.assert_allclose(evaluations.log_density, [function(x) for x in points], rtol=1e-10)
        np.testing.assert_allclose(evaluations.score, [jax.grad(function)(x) for x in points], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(
            hessians(target, points[:1])[0], -jax.hessian(function)(points[0]), rtol=1e-8, atol=1e-10
        )


def test_dictionaries_come_back_as_dictionaries():
    out = lanes(lambda x: {"a": x.sum(), "b": {"c": jnp.linalg.cholesky(jnp.eye(2) * (1 + x[0] ** 2))}})(
        jnp.ones((3, 4))
    )
    assert out["a"].shape == (3,) and out["b"]["c"].shape == (3, 2, 2)
