"""Maps: bijections with the log-determinant they state, learned exactly where a conditional is what they assume."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.maps import ConditionalMap, MappedTarget, _learn, learned_map, map_arrays, map_from_arrays, mapped
from monochord.maps._regression import Design, _residuals
from monochord.testing import funnel_target, gaussian_target

DIM = 10


def _random_map(seed: int) -> ConditionalMap:
    """Two levels, two components: coordinate 1 leans on 0, coordinates 2 and 3 on both."""
    rng = np.random.default_rng(seed)
    drivers = np.array([[0, 0], [0, 1], [0, 1], [1, 0], [4, 4]])
    level = np.array([0, 1, 2, 2, 0])
    here = (level > 0)[:, None] * (drivers != np.arange(5)[:, None])

    def coefficients():
        return 0.4 * rng.standard_normal((5, 2)) * here

    def row():
        return rng.standard_normal(5) * (level > 0)

    return ConditionalMap(
        drivers, level, rng.standard_normal(5), 1 + rng.random(5), row(), coefficients(), coefficients(), row(),
        coefficients(), row(), row(), coefficients(), 2,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_a_map_is_a_bijection_with_the_log_determinant_it_states(seed):
    along, u = _random_map(seed), np.random.default_rng(seed).standard_normal((6, 5))
    x, log_det = jax.jit(jax.vmap(along.forward))(u)
    np.testing.assert_allclose(along.place(u), x, rtol=1e-10)
    np.testing.assert_allclose(along.inverse(np.asarray(x)), u, rtol=1e-8, atol=1e-9)
    jacobian = jax.vmap(jax.jacobian(lambda u: along.forward(u)[0]))(u)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-8, atol=1e-10)
    again = map_from_arrays(map_arrays(along))
    np.testing.assert_array_equal(again.place(u), along.place(u))


def test_the_residuals_jacobian_agrees_with_finite_differences():
    rng = np.random.default_rng(3)
    design = Design(rng.standard_normal((2, 30, 4)), rng.standard_normal((2, 30, 5)))
    x, score, theta = rng.standard_normal((30, 2)), rng.standard_normal((30, 2)), 0.3 * rng.standard_normal((2, 14))
    _, jacobian = _residuals(theta, x, score, design)
    for column in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, column] = 1e-6
        up, down = (_residuals(theta + sign * step, x, score, design)[0] for sign in (1, -1))
        np.testing.assert_allclose(jacobian[:, :, column], (up - down) / 2e-6, atol=1e-6)


@pytest.fixture(scope="module", autouse=True)
def _no_exact_terms():
    """Funnels are hierarchies whose terms are told exactly: these tests are of what is learned where they are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monochord.mapping._hierarchy.MAX_DIM", 0)
        yield


@pytest.fixture(scope="module")
def funnel():
    target = funnel_target(DIM)
    return target, mc.fit(target, seed=0)


def test_a_funnel_becomes_exactly_gaussian(funnel):
    """Catches: a driver missed, a slope off its half, or a map that costs more than it says."""
    target, fit = funnel
    assert fit.verdict == "trust" and fit.map is not None
    assert fit.score_residual.value < 1e-12
    assert np.sum(fit.map.level) == DIM - 1
    slopes = (fit.map.scale / fit.map.unit[fit.map.drivers])[fit.map.level > 0].sum(1)
    np.testing.assert_allclose(slopes, 0.5, atol=1e-6)
    assert fit.cost.gradients < 4000
    assert mc.fit(target, seed=0, maps=False).verdict == "do not use"  # what it begins from


def test_draws_of_a_funnel_are_right_and_in_the_models_coordinates(funnel):
    """v ~ N(0, 9): the mean and the sd of v beyond 5 standard errors: false-fail 1e-6."""
    target, fit = funnel
    data = mc.sample(target, fit=fit, seed=1)
    attributes = data.sample_stats.attrs
    assert attributes["status"] == "target ESS reached" and "map" in attributes
    total = sum(attributes[f"gradients_{stage}"] for stage in ("fit", "warmup", "sampling"))
    assert total < 10_000
    x = data["unconstrained_posterior"]["x"].values
    v = x[:, :, list(target.names).index("v")]
    np.testing.assert_allclose(v, data["posterior"]["v"].values, rtol=1e-9)
    assert abs(v.mean()) < 5 * 3 / np.sqrt(400) and abs(v.std() - 3) < 5 * 3 / np.sqrt(800)
    more = mc.extend(data, draws=10)
    np.testing.assert_allclose(more["posterior"]["v"].values[:, : v.shape[1]], v, rtol=1e-9, atol=1e-12)
    named = mc.extend(data, target, draws=10)
    np.testing.assert_allclose(named["posterior"]["v"].values, more["posterior"]["v"].values, rtol=1e-9, atol=1e-9)


def test_the_spectrum_is_that_of_the_pulled_back_target(funnel):
    target, fit = funnel
    assert "1.0" in str(mc.spectrum(target, fit, seed=0))


def test_nothing_is_found_where_there_is_nothing():
    """Catches: structure read into noise. 8 correlated Gaussians of 20 coordinates, none with a map."""
    rng = np.random.default_rng(5)
    for seed in range(8):
        factor = rng.standard_normal((20, 20)) / 4 + np.diag(np.geomspace(0.1, 10, 20))
        target = gaussian_target(np.zeros(20), factor @ factor.T)
        fit = mc.fit(target, seed=seed)
        assert learned_map(fit.gaussian, fit.draws) is None


def test_a_mapped_target_is_the_same_posterior(funnel):
    target, fit = funnel
    there = mapped(target, fit.map)
    assert isinstance(there, MappedTarget) and there.unmapped is target
    u = np.random.default_rng(2).standard_normal(DIM)
    x, log_det = fit.map.forward(jnp.asarray(u))
    np.testing.assert_allclose(there.log_density(u), target.log_density(x) + log_det, rtol=1e-12)
    np.testing.assert_allclose(there.constrain(u)["v"], target.constrain(x)["v"], rtol=1e-12)
    assert dataclasses.replace(fit, map=None).map is None


def _fails(*_):
    raise np.linalg.LinAlgError("singular")


@pytest.mark.parametrize("limit", [1000, 5])
def test_a_fit_outlives_a_map_that_cannot_be_learned(monkeypatch, limit):
    """Catches: a failed regression that ends the fit; a dense matrix made before the limit on dimensions is looked at."""
    monkeypatch.setattr("monochord.maps._additive.MAX_DIM", limit)
    monkeypatch.setattr(
        "monochord.maps._additive._exponents" if limit > DIM else "monochord.maps._additive._coupled", _fails
    )
    monkeypatch.setattr("monochord.maps._learn.MAX_DIM", limit)
    monkeypatch.setattr(
        "monochord.maps._learn.conditional_fit" if limit > DIM else "monochord.maps._learn.couplings", _fails
    )
    monkeypatch.setattr("monochord.mapping._judge.MAX_DIM", limit)
    monkeypatch.setattr("monochord.mapping._population.turning_drivers", _fails)
    fit = mc.fit(funnel_target(DIM), seed=0)
    assert fit.verdict == "do not use" and fit.map is None


def test_coefficients_stand_where_the_regression_puts_them():
    empty = np.zeros((1, 1, 1 + _learn.NUM_SCALE)), np.zeros((1, 1, 1 + _learn.WIDTH + _learn.NUM_CURVED))
    assert Design(*empty).cuts[:2] == (_learn.LOCATION, _learn.SECOND)
