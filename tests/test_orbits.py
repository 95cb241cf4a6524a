"""Two trajectories in the worst plane: where a Gaussian gives them in closed form, and what is counted."""

import jax.numpy as jnp
import numpy as np
import pytest

from monochord.errors import OptionError
from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.orbits import MOMENTUM, START, STEP, orbits, worst_plane
from monochord.targets import callable_target
from monochord.testing import gaussian_target

DIM = 5


@pytest.fixture
def problem(ugly_covariance, ugly_mean):
    covariance, mean = ugly_covariance(DIM, 40.0), ugly_mean(DIM)
    return gaussian_target(mean, covariance), Gaussian(mean, DenseMetric.from_covariance(covariance)), covariance


def leapfrogs(x, velocity, frequency, step, count):
    """The leapfrog of one oscillator with unit mass: the reference, a coordinate at a time."""
    found = [x]
    for _ in range(count):
        velocity -= 0.5 * step * frequency**2 * x
        x += step * velocity
        velocity -= 0.5 * step * frequency**2 * x
        found.append(x)
    return np.array(found)


def test_paths_are_those_of_two_oscillators(problem, rng):
    """A Gaussian under its own metric: both coordinates turn alike; under the identity each at 1/sd."""
    target, gaussian, covariance = problem
    found = orbits(target, gaussian, gaussian.sample(rng, 7), num_leapfrogs=9)
    values = np.linalg.eigvalsh(covariance)
    widths = np.sqrt(values[[-1, 0]])
    np.testing.assert_allclose(found.widths, widths, rtol=1e-8)
    for k in (0, 1):
        fitted = leapfrogs(START[k], MOMENTUM[k], 1.0, STEP, 9)
        np.testing.assert_allclose(found.paths["fitted"][:, k], fitted, rtol=0, atol=1e-6)
        plain = leapfrogs(START[k], MOMENTUM[k] / widths[k], 1.0 / widths[k], STEP * widths[1], 9)
        np.testing.assert_allclose(found.paths["identity"][:, k], plain, rtol=0, atol=1e-6)
    assert found.draws.shape == (7, 2)


def test_gradients_are_counted(problem):
    target, gaussian, _ = problem
    assert orbits(target, gaussian, np.asarray(gaussian.mean)[None], num_leapfrogs=3).gradients == 8


def test_draws_of_the_gaussian_have_unit_spread_in_the_plane(problem, rng):
    """20,000 draws: each sd is 1 ± .005, so that .03 is six standard errors. Catches: sds of the wrong direction."""
    target, gaussian, _ = problem
    found = orbits(target, gaussian, gaussian.sample(rng, 20_000), num_leapfrogs=1)
    np.testing.assert_allclose(found.draws.std(0), 1.0, atol=0.03)
    assert abs(np.corrcoef(found.draws.T)[0, 1]) < 0.05


def test_power_iteration_finds_the_ends_of_a_large_low_rank_metric(rng):
    dim = 700
    basis = np.linalg.qr(rng.standard_normal((dim, 2)))[0]
    directions, widths = worst_plane(LowRankMetric(np.full(dim, 1.5), basis, np.array([400.0, 0.0025])))
    np.testing.assert_allclose(widths, [30.0, 0.075], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(directions * basis.T, axis=1)), 1.0, atol=1e-6)


def test_directions_are_orthonormal_and_named(ugly_scale):
    directions, widths = worst_plane(DiagonalMetric(ugly_scale(6)))
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(widths, ugly_scale(6)[[-1, 0]], rtol=1e-10)


def test_a_path_ends_where_the_density_does(ugly_scale):
    """Catches: NaN in a picture."""

    def inside(params):
        return jnp.where(params["x"][0] > 3.0, -0.5 * jnp.sum(params["x"] ** 2), jnp.nan)

    target = callable_target(inside, {"x": np.zeros(3)}, None, None)
    gaussian = Gaussian(np.zeros(3), DiagonalMetric(np.array([3.0, 0.7, 0.2])))
    found = orbits(target, gaussian, np.zeros((1, 3)), num_leapfrogs=5)
    assert all(np.all(np.isfinite(path)) for path in found.paths.values())
    path = found.paths["fitted"]
    assert 1 < len(path) < 6
    assert 3.0 * path[-1, 0] <= 3.0 < 3.0 * path[-2, 0]  # the last point is the first one outside


def test_one_coordinate_has_no_plane():
    with pytest.raises(OptionError, match="one coordinate"):
        worst_plane(DiagonalMetric(np.array([2.0])))
