"""Regions sum to the posterior, whatever they were made from; their targets are targets like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord import timing
from monochord.modes import regions_of
from monochord.modes._regions import FREEDOM
from monochord.targets import callable_target, evaluate

DIM = 4
MEANS = np.array([[-3.0, 0.5, 1.0, 0.2], [2.0, -1.0, 0.0, 1.5], [0.0, 4.0, -2.0, 0.3]])
SHARES = [0.2, 0.7, 0.1]


def _density(params, tilt):
    x = params["x"]
    return -jnp.sum(jnp.cosh(0.4 * x)) + tilt @ x


@pytest.fixture(scope="module")
def target():
    return callable_target(_density, {"x": np.zeros(DIM)}, {"tilt": np.array([0.3, -0.2, 0.1, 0.0])})


@pytest.fixture
def gaussians(rng):
    roots = [rng.standard_normal((DIM, DIM)) + 2.0 * np.eye(DIM) for _ in MEANS]
    metrics = [
        mc.DenseMetric.from_covariance(s * root @ root.T) for s, root in zip((0.1, 1.0, 3.0), roots, strict=True)
    ]
    return [mc.Gaussian(mean, metric) for mean, metric in zip(MEANS, metrics, strict=True)]


def test_shares_sum_to_one_everywhere(target, gaussians, rng):
    """Also where every Student t has underflowed. Catches: a sum of exponentials without its largest term taken out."""
    regions, _ = regions_of(target, gaussians, SHARES)
    x = rng.standard_normal((50, DIM)) * 10.0 ** rng.uniform(-2, 8, (50, 1))
    np.testing.assert_allclose(np.exp(regions.log_shares(x)).sum(-1), 1.0, rtol=1e-12)


def test_parts_sum_to_the_posterior(target, gaussians, rng):
    """Catches: constants of the regions left in the targets, or a part that takes another's share."""
    regions, parts = regions_of(target, gaussians, SHARES)
    x = 3.0 * rng.standard_normal((20, DIM))
    logs = np.stack([evaluate(part, x).log_density for part in parts])
    whole = evaluate(target, x).log_density
    np.testing.assert_allclose(np.logaddexp.reduce(logs, axis=0), whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose((logs - whole).T, regions.log_shares(x), rtol=1e-4, atol=1e-4)


def test_parts_share_one_program(target, gaussians):
    """Catches: the number of the mode baked into the program, which would compile once for each."""
    _, parts = regions_of(target, gaussians, SHARES)
    timing.listen()
    evaluate(parts[0], MEANS)
    count = timing.num_compiled()
    for part in parts:
        evaluate(part, MEANS)
    assert timing.num_compiled() == count


def test_host_score_is_the_gradient(target, gaussians, rng):
    """Against JAX. Catches: the pulls of other modes left out, the wrong power of the Student t."""
    regions, _ = regions_of(target, gaussians, SHARES)
    x = 2.0 * rng.standard_normal((6, DIM))
    for k in range(3):
        exact = jax.vmap(jax.grad(lambda point, k=k: regions.log_shares(point)[k]))(jnp.asarray(x))
        np.testing.assert_allclose(regions.score(x, k), exact, rtol=1e-3, atol=1e-3)


def test_a_model_outside_jax_has_the_same_parts(gaussians, rng):
    """Catches: a region's term added to the value and not to the gradient, or to what is reported."""
    tilt = np.array([0.3, -0.2, 0.1, 0.0])

    def both(params):
        x = params["x"]
        return -np.sum(np.cosh(0.4 * x)) + tilt @ x, {"x": -0.4 * np.sinh(0.4 * x) + tilt}

    host = mc.target(both, gradient=True, init={"x": np.zeros(DIM)})
    regions, parts = regions_of(host, gaussians, SHARES)
    x = rng.standard_normal((3, DIM))
    plain, part = evaluate(host, x), evaluate(parts[2], x)
    np.testing.assert_allclose(part.log_density - plain.log_density, regions.log_shares(x)[:, 2], rtol=1e-10)
    np.testing.assert_allclose(part.score - plain.score, regions.score(x, 2), rtol=1e-10, atol=1e-12)
    assert parts[2].names == host.names


def test_a_mode_keeps_its_own_tails(rng):
    """Sds three times too small in 10 dimensions, beside a mode with the right ones, 20 of its sds away: the draws stay, where a Gaussian rule gives
    all of them away. Catches: Gaussian tails in place of Student ones."""
    dim, places = 10, np.zeros((2, 10))
    places[1, 0] = 20.0
    scales = (np.full(dim, 1.0 / 3.0), np.ones(dim))
    pair = [mc.Gaussian(place, mc.DiagonalMetric(scale)) for place, scale in zip(places, scales, strict=True)]
    one = callable_target(lambda params: -jnp.sum(params["x"] ** 2), {"x": np.zeros(dim)})
    regions, _ = regions_of(one, pair, [0.5, 0.5])
    x = rng.standard_normal((500, dim))
    assert np.exp(regions.log_shares(x))[:, 0].min() > 0.99
    assert FREEDOM < 30  # towards infinity the rule is the Gaussian one


def test_regions_need_modes(target, gaussians):
    """Catches: a region with no mass, whose logarithm is no number."""
    for few, shares in ((gaussians[:1], [1.0]), (gaussians, [0.5, 0.5, 0.0]), (gaussians, [0.5, 0.5])):
        with pytest.raises(ValueError, match="positive share"):
            regions_of(target, few, shares)
