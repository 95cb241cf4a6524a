"""Negative controls: each law suite must fail on a planted bug, and the targets have the stated moments."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.metrics import AbstractMetric
from monochord.targets import callable_target, evaluate
from monochord.testing import (
    MetricLaws,
    TargetLaws,
    banana_moments,
    banana_target,
    funnel_moments,
    funnel_target,
    gaussian_target,
)

SCALE = np.array([0.2, 1.5, 9.0])
MATRIX = np.array([[0.5, 0.0, 0.0], [0.3, 2.0, 0.0], [-0.7, 1.1, 4.0]])


class _Broken(AbstractMetric):
    """A dense metric with one planted bug, by name ("" for none)."""

    factor: np.ndarray
    bug: str = eqx.field(static=True)

    @property
    def dim(self):
        return 3

    def whiten(self, x):
        root = np.linalg.inv(self.factor) if self.bug != "whiten" else self.factor.T
        return x @ root.T

    def unwhiten(self, z):
        return z @ (self.factor.T if self.bug != "unwhiten" else self.factor)

    def whiten_covector(self, g):
        return g @ (self.factor if self.bug != "covector" else self.factor.T)

    def unwhiten_covector(self, w):
        return w @ np.linalg.inv(self.factor if self.bug != "covector" else self.factor.T)

    def log_det(self):
        return np.log(np.diag(self.factor)).sum() * (2.0 if self.bug != "log_det" else 1.0)

    def diagonal(self):
        variance = (self.factor**2).sum(1)
        return variance if self.bug != "diagonal" else np.sqrt(variance)

    def precision_diagonal(self):
        variance = np.diag(np.linalg.inv(self.dense()))
        return variance if self.bug != "precision" else 1.0 / self.diagonal()

    def dense(self):
        return self.factor @ self.factor.T

    def matvec(self, p):
        return super().matvec(p) * (1.0 if self.bug != "matvec" else 1.0 + 1e-6)


LAWS = [name for name in dir(MetricLaws) if name.startswith("test_") and "jit" not in name]


def _failing(bug: str) -> set[str]:
    class Suite(MetricLaws):
        def metrics(self):
            return [_Broken(MATRIX, bug)]

    failing = set()
    for law in LAWS:
        try:
            getattr(Suite(), law)()
        except AssertionError:
            failing.add(law)
    return failing


def test_a_right_metric_passes_every_law():
    """Catches: a law that fails always, which would make the controls below meaningless."""
    assert _failing("") == set()


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        ("whiten", "test_whiten_inverts_unwhiten"),
        ("unwhiten", "test_factor_squares_to_dense"),
        ("covector", "test_covectors_are_adjoint"),
        ("log_det", "test_log_det_agrees_with_slogdet"),
        ("diagonal", "test_diagonal_is_that_of_dense"),
        ("precision", "test_precision_diagonal_is_that_of_the_inverse"),
        ("matvec", "test_matvec_and_solve_agree_with_dense"),
    ],
)
def test_each_metric_law_catches_its_bug(bug, law):
    """Negative control of `MetricLaws`."""
    assert law in _failing(bug)


def test_metric_laws_catch_values_in_the_structure():
    """Negative control: a metric whose numbers are static has no leaves to differentiate or exchange."""

    class Static(MetricLaws):
        def metrics(self):
            return [eqx.tree_at(lambda m: m.factor, _Broken(MATRIX, ""), replace=None)]

    with pytest.raises((AssertionError, AttributeError, TypeError)):
        Static().test_pytree_round_trip()


class _TargetSuite(TargetLaws):
    def __init__(self, make):
        self.make = make

    def target(self):
        return self.make(1.5)

    def other_target(self):
        return self.make(-4.0)


def test_target_laws_catch_data_that_are_baked_in():
    """Negative control: data in a closure make another function, and data that are ignored do not matter."""

    def closure(shift):
        return callable_target(lambda params: -jnp.sum((params["x"] - shift) ** 2), {"x": np.zeros(2)})

    def ignored(shift):
        return callable_target(_ignores, {"x": np.zeros(2)}, {"shift": np.array(shift)})

    for make, words in ((closure, "static structure"), (ignored, "baked in")):
        with pytest.raises(AssertionError, match=words):
            _TargetSuite(make).test_other_data_of_the_same_shape_compile_nothing()


def _ignores(params, shift):
    return -jnp.sum((params["x"] - 1.5) ** 2) + 0.0 * shift


def test_target_laws_catch_a_wrong_gradient():
    """Negative control: stop_gradient on half of the density."""
    import jax

    def function(params, shift):
        return -jnp.sum((params["x"] - shift) ** 2) - jax.lax.stop_gradient(jnp.sum(params["x"] ** 4))

    suite = _TargetSuite(lambda shift: callable_target(function, {"x": np.zeros(2)}, {"shift": np.array(shift)}))
    with pytest.raises(AssertionError):
        suite.test_gradient_agrees_with_finite_differences()


class TestGaussianTargetLaws(TargetLaws):
    def target(self):
        return gaussian_target(SCALE, MATRIX @ MATRIX.T)

    def other_target(self):
        return gaussian_target(-SCALE, np.diag(SCALE**2) + 0.1)


class TestFunnelTargetLaws(TargetLaws):
    def target(self):
        return funnel_target(4, 1.3)

    def other_target(self):
        return funnel_target(4, 0.7)


def test_gaussian_target_has_the_stated_score():
    """Catches: the factor of another matrix. Independent: −Σ⁻¹(x − mean)."""
    covariance = MATRIX @ MATRIX.T
    x = np.array([[0.3, -1.0, 5.0], [2.0, 0.1, -3.0]])
    expected = -np.linalg.solve(covariance, (x - SCALE).T).T
    np.testing.assert_allclose(evaluate(gaussian_target(SCALE, covariance), x).score, expected, rtol=1e-10)


def _moments_by_quadrature(target, axes):
    """Mean and covariance over a product grid given by an axis a coordinate."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    value = evaluate(target, grid).log_density
    weight = np.exp(value - value.max())
    weight /= weight.sum()
    mean = weight @ grid
    return mean, (grid - mean).T @ ((grid - mean) * weight[:, None])


def test_banana_and_funnel_have_the_stated_moments():
    """By quadrature, independent of the formulas. Catches: a missing log Jacobian of the funnel."""
    mean, covariance = _moments_by_quadrature(
        banana_target(0.4, 1.3), [np.linspace(-9, 9, 81), np.linspace(-9, 30, 120)]
    )
    np.testing.assert_allclose(mean, banana_moments(0.4, 1.3)[0], atol=1e-4)
    np.testing.assert_allclose(covariance, banana_moments(0.4, 1.3)[1], atol=1e-3)
    mean, covariance = _moments_by_quadrature(
        funnel_target(2, 0.6), [np.linspace(-4, 4, 81), np.linspace(-14, 14, 281)]
    )
    np.testing.assert_allclose(mean, funnel_moments(2, 0.6)[0], atol=1e-6)
    np.testing.assert_allclose(covariance, funnel_moments(2, 0.6)[1], atol=1e-3)
