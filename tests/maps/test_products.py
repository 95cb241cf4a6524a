"""Maps of products: what scales multiply is told from the score alone, and standardised given the scales."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.estimate import Estimate
from monochord.fits import FitStatus
from monochord.mapping._judge import wants_map, wants_products
from monochord.maps import (
    ScaledMap,
    as_products,
    centred_parents,
    map_arrays,
    map_from_arrays,
    product_map,
    product_parents,
    spread_as_products,
)
from monochord.spectra import Verdict
from monochord.targets import evaluate

NUM, ROWS = 6, 30


def _sparse(params, x, y):
    """Regression on products of standard normals with scales of their own and one of all, each of half-Cauchy prior."""
    log_own, log_all = params["log_own"], params["log_all"]
    beta = params["z"] * jnp.exp(log_own + log_all)
    density = -0.5 * jnp.sum((y - x @ beta) ** 2) - 0.5 * jnp.sum(params["z"] ** 2)
    return density + jnp.sum(log_own - jnp.log1p(jnp.exp(2 * log_own))) + log_all - jnp.log1p(jnp.exp(2 * log_all))


@pytest.fixture(scope="module")
def sparse():
    """A target, and points with scores near nothing in particular."""
    rng = np.random.default_rng(3)
    x = np.linalg.qr(rng.standard_normal((ROWS, NUM)))[0]
    y = x @ np.array([3.0, 3.0, 0.0, 0.0, 0.0, 0.0]) + 0.5 * rng.standard_normal(ROWS)
    init = {"z": np.zeros(NUM), "log_own": np.zeros(NUM), "log_all": np.zeros(())}
    target = mc.target(_sparse, init=init, data={"x": x, "y": y})
    return target, evaluate(target, 0.7 * rng.standard_normal((128, target.dim)))


def _places(target, name):
    return [place for place, one in enumerate(target.names) if one.split("[")[0] == name]


def test_scales_are_found_by_the_symmetry(sparse):
    """Each coordinate has its own scale and the shared one, none another's. Catches: a scale taken for the coordinate, the pooled sum
    over the wrong ones, the sign that tells centred from non-centred. No chance: the identity is exact."""
    target, points = sparse
    own, (shared,) = _places(target, "log_own"), _places(target, "log_all")
    found = product_parents(points)
    assert {i: parents.scale for i, parents in found.items()} == {
        i: (j, shared) for i, j in zip(_places(target, "z"), own, strict=True)
    }


def test_centred_scales_and_plain_coordinates_have_no_products():
    """A funnel's scale moves with −½ of the sum, a Gaussian's coordinates with nothing."""
    rng = np.random.default_rng(4)

    def funnel(x):
        return -(x[0] ** 2) / 18 - 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) - 0.5 * (len(x) - 1) * x[0]

    for density in (funnel, lambda x: -0.5 * jnp.sum(x**2)):
        target = mc.target(density, init=np.zeros(8))
        assert product_parents(evaluate(target, rng.standard_normal((128, 8)))) == {}


def test_given_the_scales_a_gaussian_likelihood_becomes_standard(sparse):
    """With orthonormal columns and the slopes of the symmetry the products are Gaussian given their scales: the map learned leaves the
    Hessian of the coordinates near the identity at the points' centre. Catches: location or precision taken for another coordinate's."""
    target, points = sparse
    along = product_map(points, product_parents(points))
    children = np.asarray(along.children)
    u = along.inverse(points.x.mean(0))
    hessian = np.asarray(jax.hessian(mc.maps.mapped(target, along).log_density)(jnp.asarray(u)))[
        np.ix_(children, children)
    ]
    np.testing.assert_allclose(hessian, -np.eye(NUM), atol=0.15)
    assert np.max(np.abs(np.asarray(along.slopes)[:, 0] - 1.0)) == 0.0


def test_a_scaled_map_is_a_bijection_with_the_log_determinant_it_states():
    """Forward, host, inverse, files, against a Jacobian by JAX."""
    rng = np.random.default_rng(5)
    along = ScaledMap(
        np.array([0, 3]), np.array([[1, 4], [2, 4]]), rng.standard_normal((2, 2)), rng.standard_normal(5), np.array([1.0, 2.0]),
        np.array([3.0, 0.1]), np.array([-1.0, 2.0]), np.array([np.inf, np.inf, np.inf, np.inf, 0.3]), np.array([0.0, 1.0]),
    )  # fmt: skip
    u = rng.standard_normal((4, 5))
    x, log_det = jax.vmap(along.forward)(u)
    jacobian = jax.vmap(jax.jacfwd(lambda one: along.forward(one)[0]))(u)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-12)
    np.testing.assert_allclose(along.place(u), x, atol=1e-12)
    np.testing.assert_allclose(along.inverse(np.asarray(x)), u, atol=1e-12)
    again = map_from_arrays(map_arrays(along))
    assert isinstance(again, ScaledMap) and again.num_moved == 2
    np.testing.assert_array_equal(again.place(u), along.place(u))
    assert along.named(tuple("abcde")).startswith("2 coordinates")


def _counts(params, x, y):
    """Poisson regression on the same products: far off its log density has any size."""
    log_own, log_all = params["log_own"], params["log_all"]
    eta = x @ (params["z"] * jnp.exp(log_own + log_all))
    density = jnp.sum(y * eta - jnp.exp(eta)) - 0.5 * jnp.sum(params["z"] ** 2)
    return density + jnp.sum(log_own - jnp.log1p(jnp.exp(2 * log_own))) + log_all - jnp.log1p(jnp.exp(2 * log_all))


def test_rows_of_any_size_do_not_decide_alone(sparse):
    """Points where the log density spans many powers of ten still show every product. Catches: regressions without weights."""
    rng = np.random.default_rng(6)
    init = {"z": np.zeros(NUM), "log_own": np.zeros(NUM), "log_all": np.zeros(())}
    target = mc.target(_counts, init=init, data={"x": rng.standard_normal((ROWS, NUM)), "y": rng.poisson(1.0, ROWS)})
    points = evaluate(target, 2.0 * rng.standard_normal((128, target.dim)))
    sizes = np.abs(points.log_density[points.finite()])
    assert sizes.max() > 1e20 * np.median(sizes)
    own = _places(target, "log_own")
    assert {i: parents.scale[0] for i, parents in product_parents(points).items()} == dict(
        zip(_places(target, "z"), own, strict=True)
    )


def _centred(params, x, y):
    """The same regression, written with the products themselves."""
    scale = jnp.exp(params["log_own"] + params["log_all"])
    density = _sparse(params | {"z": params["z"] / scale}, x, y)
    return density - jnp.sum(jnp.log(scale))


def test_centred_scales_are_found_and_become_products(sparse):
    """Pairs and the shared scale from the points of a Gaussian, no products before and all of them after; scores and log densities of the new coordinates
    are those of the target written in them. Catches: the log determinant, a scale's score without its coordinate's."""
    target, points = sparse
    centred = mc.target(
        _centred,
        init={"z": np.zeros(NUM), "log_own": np.zeros(NUM), "log_all": np.zeros(())},
        data=dict(target.traced_data),
    )
    rng = np.random.default_rng(7)
    scales = np.where([name == "log_all" for name in centred.names], 0.15, 0.7)
    draws = evaluate(centred, scales * rng.standard_normal((256, centred.dim)))
    assert product_parents(draws) == {}
    found = centred_parents(draws)
    own, (shared,) = _places(centred, "log_own"), _places(centred, "log_all")
    assert {i: p.scale for i, p in found.items()} == {
        i: (j, shared) for i, j in zip(_places(centred, "z"), own, strict=True)
    }
    inner = as_products(draws, found)
    expected = evaluate(target, inner.x)
    np.testing.assert_allclose(inner.log_density, expected.log_density, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(inner.score, expected.score, rtol=1e-9, atol=1e-9)
    noise = rng.standard_normal(draws.x.shape)
    far = spread_as_products(centred, draws, found, noise)
    np.testing.assert_allclose(far.x, inner.x + noise, atol=1e-12)
    assert product_parents(far).keys() == found.keys()


def test_centred_and_other_products_are_one_target_along_their_maps(sparse):
    """Pulled back, a target of products along a map and the centred one along the same map of power 1 differ by a constant at most. Catches: the
    factor's log determinant."""
    target, points = sparse
    centred = mc.target(
        _centred,
        init={"z": np.zeros(NUM), "log_own": np.zeros(NUM), "log_all": np.zeros(())},
        data=dict(target.traced_data),
    )
    along = product_map(points, product_parents(points))
    whole = dataclasses.replace(along, power=np.ones(NUM))
    u = 0.3 * np.random.default_rng(8).standard_normal((6, target.dim))
    one, other = (evaluate(mc.maps.mapped(t, m), u) for t, m in ((target, along), (centred, whole)))
    np.testing.assert_allclose(one.log_density, other.log_density, rtol=1e-9)
    np.testing.assert_allclose(one.score, other.score, rtol=1e-7, atol=1e-9)


def test_slopes_end_at_the_edge_and_steps_shorten_beyond_it():
    """Far beyond its edge a shared scale moves no location or scale, and each unit of it shortens the step e times: the product it
    makes is as much steeper. Before, with all slopes 1 and no edge, one step suits all. Catches: an edge on the wrong side, a step of the
    wrong sign, exponents that overflow."""
    ones = np.ones(2)
    multipliers, slopes, center = np.array([[1, 4], [2, 4]]), np.ones((2, 2)), np.full(5, 0.5)

    def along(edge):
        return ScaledMap(np.array([0, 3]), multipliers, slopes, center, ones, 2.0 * ones, ones, edge, 0.0 * ones)

    endless, ending = along(np.full(5, np.inf)), along(np.array([np.inf, np.inf, np.inf, np.inf, 1.0]))
    at = np.linspace(-3.0, 3.0, 5)
    assert float(endless.log_step(jnp.asarray(at))) == pytest.approx(0.0, abs=1e-12)

    def with_shared(value):
        return np.where(np.arange(5) == 4, value, at)

    near, far = with_shared(20.0), with_shared(24.0)
    np.testing.assert_allclose(ending.place(near)[[0, 3]], ending.place(far)[[0, 3]], atol=1e-9)
    assert not np.allclose(endless.place(near)[[0, 3]], endless.place(far)[[0, 3]], atol=1e-9)
    fall = ending.log_step(jnp.asarray(far)) - ending.log_step(jnp.asarray(near))
    assert float(fall) == pytest.approx(-4.0, abs=1e-6)
    assert float(ending.log_step(jnp.asarray(with_shared(-20.0)))) == pytest.approx(0.0, abs=1e-6)
    extreme = jax.value_and_grad(ending.log_step)(jnp.asarray(with_shared(5_000.0)))
    assert all(np.all(np.isfinite(part)) for part in extreme)


def test_a_refused_fit_looks_for_products_whatever_one_far_draw_says(sparse):
    """A residual that is no more than its error asks for no other map. Catches: seeds whose residual one draw makes uncertain left without."""
    target, points = sparse
    linear = mc.fit(target, seed=0, maps=False, progress=False)
    refused = dataclasses.replace(
        linear, status=FitStatus.settled, judgement=Verdict("do not use", ()), score_residual=Estimate(3.8, 2.3, 64), indefinite_share=None
    )  # fmt: skip
    assert not wants_map(refused) and wants_products(refused)
    assert not wants_products(dataclasses.replace(refused, judgement=Verdict("start only", ())))


def _horseshoe(params, x, y):
    """Logistic regression with a horseshoe prior."""
    log_own, log_all = params["log_own"], params["log_all"]
    eta = x @ (params["z"] * jnp.exp(log_own + log_all))
    density = jnp.sum(y * eta - jnp.logaddexp(0.0, eta)) - 0.5 * jnp.sum(params["z"] ** 2)
    return (
        density + jnp.sum(log_own - jnp.log1p(jnp.exp(2 * log_own))) + log_all - jnp.log1p(jnp.exp(2 * log_all) * 100)
    )


@pytest.mark.nightly
def test_a_refused_horseshoe_is_fitted_along_products():
    """All coefficients get the map, everything spent is charged, and the ELBO is clearly higher. Catches: chains of a round not charged."""
    rng = np.random.default_rng(14)
    x = rng.standard_normal((60, 30))
    y = (rng.random(60) < 1 / (1 + np.exp(-x[:, :4].sum(1) * 2))).astype(float)
    init = {"z": np.zeros(30), "log_own": np.zeros(30), "log_all": np.zeros(())}
    target = mc.target(_horseshoe, init=init, data={"x": x, "y": y})
    linear = mc.fit(target, seed=0, maps=False, progress=False)
    fit = mc.fit(target, seed=0, progress=False)
    assert linear.verdict == "do not use"
    assert isinstance(fit.map, ScaledMap) and fit.map.num_moved == 30
    assert fit.cost.gradients > linear.cost.gradients + 2 * 4 * 64
    noise = np.hypot(fit.elbo.standard_error, linear.elbo.standard_error)
    assert fit.elbo.value > linear.elbo.value + 3 * noise
