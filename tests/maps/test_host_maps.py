"""Maps of densities that Python functions compute: the same as of the same density in JAX, counted, and ended by the same errors."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.maps import BorderedMap, SliceTarget, mapped
from monochord.targets import constrain_draws, evaluate, hessian_products, hessians
from monochord.testing import funnel_target

DIM = 5


def _value(params):
    return -(params["v"] ** 2) / 18.0 - 0.5 * np.exp(-params["v"]) * np.sum(params["x"] ** 2) - 0.5 * DIM * params["v"]


def _gradient(params):
    weight = np.exp(-params["v"])
    return {
        "v": -params["v"] / 9.0 + 0.5 * weight * np.sum(params["x"] ** 2) - 0.5 * DIM,
        "x": -weight * params["x"],
    }


def _twin(params):
    return (
        -(params["v"] ** 2) / 18.0 - 0.5 * jnp.exp(-params["v"]) * jnp.sum(params["x"] ** 2) - 0.5 * DIM * params["v"]
    )


def _host(value=_value):
    return mc.target((value, _gradient), init={"v": 0.0, "x": np.zeros(DIM)})


@pytest.fixture(scope="module")
def along():
    fit = mc.fit(_host(), seed=0, progress=False)
    assert isinstance(fit.map, BorderedMap) and fit.verdict == "trust"
    return fit


def test_along_a_map_it_is_the_density_in_jax(along):
    """Densities, scores, Hessians and quantities; and no call for lanes that idle. Catches: scores that are not pulled back, a log determinant
    without its gradient, points that pad a batch and are paid for."""
    host, twin = _host(), mc.target(_twin, init={"v": 0.0, "x": np.zeros(DIM)})
    assert host.names == twin.names
    u = np.random.default_rng(0).standard_normal((11, DIM + 1))
    ours, theirs = mapped(host, along.map), mapped(twin, along.map)
    before = host.model.num_gradients
    found, expected = evaluate(ours, u), evaluate(theirs, u)
    assert host.model.num_gradients - before == len(u)
    np.testing.assert_allclose(found.log_density, expected.log_density, rtol=1e-10)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-8, atol=1e-10)
    before = host.model.num_gradients
    np.testing.assert_allclose(hessians(ours, u[:2]), hessians(theirs, u[:2]), atol=1e-5)
    np.testing.assert_allclose(hessian_products(ours, u, u[::-1]), hessian_products(theirs, u, u[::-1]), atol=1e-4)
    assert host.model.num_gradients - before == 2 * 2 * (DIM + 1) + 2 * len(u)
    np.testing.assert_allclose(constrain_draws(ours, u)["x"], constrain_draws(theirs, u)["x"], rtol=1e-10)
    free = along.map.left
    part, same = (evaluate(SliceTarget.of(one, free), u[:, free]) for one in (ours, theirs))
    np.testing.assert_allclose(part.score, same.score, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(part.log_density, same.log_density, rtol=1e-10)


def test_a_funnel_in_numpy_is_sampled_to_its_ends_and_counted(along):
    """Quantiles of v ~ N(0, 3²) within .25 of its standard deviation: six errors at an ESS of 1,600 for the outer ones. Catches: chains in other coordinates than
    the fit's, gradients that nobody counts."""
    host = _host()
    fit = mc.fit(host, seed=0, progress=False)
    data = mc.sample(host, fit=fit, seed=0, target_ess=1600, progress=False)
    attrs = data.sample_stats.attrs
    assert attrs["status"] == "target ESS reached" and attrs["idle_lanes"] == 0
    counted = attrs["gradients_fit"] + attrs["gradients_warmup"] + attrs["gradients_sampling"]
    plain = _host()
    linear = mc.fit(plain, seed=0, maps=False, progress=False)  # which charges a few more than it spends
    assert counted - host.model.num_gradients == linear.cost.gradients - plain.model.num_gradients >= 0
    v = data.posterior["v"].values
    np.testing.assert_allclose(np.quantile(v, [0.05, 0.5, 0.95]), [-4.935, 0.0, 4.935], atol=0.75)
    assert mc.spectrum(host, fit, seed=0)["fitted"].kappa.value < 2.0


def test_an_error_along_a_map_names_the_line(along):
    """Raised while chains run, past the fit. Catches: a chain that rejects for ever in silence."""
    calls = []

    def breaks(params):
        calls.append(1)
        if len(calls) > 40:
            raise RuntimeError("no such place")
        return _value(params)

    with pytest.raises(mc.ModelError, match="no such place"):
        mc.sample(_host(breaks), fit=along, seed=0, draws=200, progress=False)
    assert len(calls) < 1000  # chains end at once, where millions of rejections would follow


def test_a_fit_along_a_map_is_refitted_outside_jax():
    """What a density in JAX has learned begins the fit of one that is not."""
    wide = mc.fit(funnel_target(DIM + 1), seed=0)
    assert wide.map is not None and wide.names == _host().names
    begun = mc.fit(_host(), start=wide, seed=0, progress=False)
    assert begun.map is wide.map and begun.verdict == "trust"
