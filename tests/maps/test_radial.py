"""Radial maps: a Student-t becomes exactly Gaussian, learned from draws that never saw its tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import monochord as mc
from monochord.gaussian import Gaussian
from monochord.mapping import wants_radius
from monochord.maps import RadialMap, map_arrays, map_from_arrays, mapped, radial_map
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.targets import Evaluations

DIM, DEGREES = 8, 3.0


def _covariance(dim: int) -> np.ndarray:
    scale = np.geomspace(0.1, 10.0, dim)
    return 0.9 ** np.abs(np.subtract.outer(np.arange(dim), np.arange(dim))) * np.outer(scale, scale)


def _log_student(params, precision, mean, degrees):
    gap = params["x"] - mean
    return -0.5 * (degrees + gap.shape[0]) * jnp.log1p(gap @ precision @ gap / degrees)


def _student(dim: int, degrees: float):
    data = {"precision": np.linalg.inv(_covariance(dim)), "mean": np.linspace(-3.0, 5.0, dim), "degrees": degrees}
    return mc.target(_log_student, init={"x": np.zeros(dim)}, data=data)


@pytest.mark.parametrize(("dim", "degrees"), [(2, 3.0), (8, 1.5), (50, 3.0), (300, 40.0)])
def test_a_students_radius_becomes_a_gaussians(dim, degrees):
    """P(|v| < r) is the same on both sides, against SciPy's F and χ² laws; and so are the densities. Measured 1e-8 and 1e-6."""
    along = RadialMap.student(np.zeros(dim), DiagonalMetric(np.ones(dim)), 0.0, degrees)
    radius = np.sqrt(stats.chi2(dim).ppf([1e-6, 0.01, 0.5, 0.99, 1 - 1e-9]))
    u = radius[:, None] * np.eye(dim)[0]
    v = along.place(u)[:, 0]
    law = stats.f(dim, degrees)
    np.testing.assert_allclose(law.cdf(v**2 / dim), stats.chi2(dim).cdf(radius**2), rtol=1e-6)
    np.testing.assert_allclose(law.sf(v**2 / dim), stats.chi2(dim).sf(radius**2), rtol=1e-6)
    log_det = np.array([along.forward(jnp.asarray(one))[1] for one in u])
    student = stats.multivariate_t(np.zeros(dim), np.eye(dim), df=degrees)
    gaussian = stats.multivariate_normal(np.zeros(dim))
    np.testing.assert_allclose(student.logpdf(along.place(u)) + log_det, gaussian.logpdf(u), rtol=1e-6)


METRICS = {
    "dense": DenseMetric.from_covariance(_covariance(DIM)),
    "diagonal": DiagonalMetric(np.geomspace(0.1, 9.0, DIM)),
    "low_rank": LowRankMetric(np.geomspace(0.1, 9.0, DIM), np.eye(DIM)[:, :2], np.array([4.0, 0.2])),
}


@pytest.mark.parametrize("kind", METRICS)
def test_a_radial_map_is_a_bijection_with_the_log_determinant_it_states(kind):
    along = RadialMap.student(np.linspace(1.0, 2.0, DIM), METRICS[kind], 0.3, 2.5)
    u = np.random.default_rng(1).standard_normal((6, DIM)) * np.array([[1e-9, 0.1, 1.0, 2.0, 5.0, 9.0]]).T
    x, log_det = jax.jit(jax.vmap(along.forward))(u)
    np.testing.assert_allclose(along.place(u), x, rtol=1e-10)
    np.testing.assert_allclose(along.inverse(along.place(u)), u, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(along.inverse(along.place(np.zeros(DIM))), np.zeros(DIM))
    jacobian = jax.vmap(jax.jacobian(lambda u: along.forward(u)[0]))(u)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-8)
    again = map_from_arrays(map_arrays(along))
    np.testing.assert_array_equal(again.place(u), along.place(u))
    assert type(again.metric) is type(along.metric) and again.num_moved == DIM


def test_degrees_of_freedom_must_be_positive():
    with pytest.raises(ValueError, match="no Student-t"):
        RadialMap.student(np.zeros(2), DiagonalMetric(np.ones(2)), 0.0, -1.0)


@pytest.fixture(scope="module")
def student():
    target = _student(DIM, DEGREES)
    return target, [mc.fit(target, seed=seed, maps=maps, progress=False) for seed, maps in ((0, False), (0, True))]


def test_a_student_becomes_exactly_gaussian(student):
    """The Student-t is recovered to rounding from 128 draws of a Gaussian; both fits are charged."""
    _, (linear, fit) = student
    assert linear.verdict == "start only" and wants_radius(linear)
    assert fit.verdict == "trust" and isinstance(fit.map, RadialMap)
    assert abs(fit.map.degrees - DEGREES) < 1e-6 and fit.score_residual.value < 1e-12
    covariance = np.exp(2 * fit.map.log_scale) * np.asarray(fit.map.metric.dense())
    np.testing.assert_allclose(covariance, _covariance(DIM), rtol=1e-5, atol=1e-8)
    assert 0 < fit.cost.gradients - linear.cost.gradients < 500
    assert "Student-t with 3 degrees" in str(fit)


def test_draws_along_a_radial_map_are_a_students(student, tmp_path):
    """Squared Mahalanobis distances over dim are F(8, 3): the share below each of three quantiles beyond 5.3 standard errors of
    400 independent draws; false-fail 4e-7. Catches: a map that the file loses, draws reported in the map's coordinates."""
    target, (_, fit) = student
    assert fit.save(tmp_path / "fit.npz").exists()
    read = mc.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(read.map.place(fit.draws.x), fit.map.place(fit.draws.x))
    data = mc.sample(target, fit=read, seed=1, progress=False)
    assert data.sample_stats.attrs["status"] == "target ESS reached" and "Student-t" in data.sample_stats.attrs["map"]
    gap = data["posterior"]["x"].values.reshape(-1, DIM) - np.linspace(-3.0, 5.0, DIM)
    distance = np.sum(gap @ np.linalg.inv(_covariance(DIM)) * gap, axis=1) / DIM
    for share in (0.05, 0.5, 0.95):
        below = np.mean(distance < stats.f(DIM, DEGREES).ppf(share))
        assert abs(below - share) < 5.3 * np.sqrt(share * (1 - share) / 400)
    more = mc.extend(data, target, draws=10, progress=False)
    np.testing.assert_allclose(
        more["posterior"]["x"].values[:, : data["posterior"].sizes["draw"]], data["posterior"]["x"].values
    )


def _points(score_of, seed: int = 3, num: int = 128) -> tuple[Gaussian, Evaluations]:
    x = np.random.default_rng(seed).standard_normal((num, DIM))
    gaussian = Gaussian(np.zeros(DIM), DiagonalMetric(np.ones(DIM)))
    return gaussian, Evaluations(x, np.zeros(num), score_of(x))


def test_no_radius_is_stretched_without_heavy_tails():
    """A Gaussian, light tails, and heavy tails of each coordinate on its own, whose contours are no ellipsoids."""
    for score_of in (
        lambda x: -x,
        lambda x: -x * np.sum(x**2, axis=1, keepdims=True) / DIM,
        lambda x: -4.0 * x / (3.0 + x**2),
    ):
        assert radial_map(*_points(score_of)) is None


def test_few_points_keep_the_fits_own_shape():
    """With 12 points of 8 coordinates the shape cannot be found, and degrees of freedom and scale are."""
    along = radial_map(*_points(lambda x: -(DIM + 3.0) * x / (3.0 + np.sum(x**2, axis=1, keepdims=True)), num=12))
    assert isinstance(along.metric, DiagonalMetric) and abs(along.degrees - 3.0) < 1e-6 and abs(along.log_scale) < 1e-6


def test_a_trusted_fit_never_asks_for_a_radius(student):
    _, (_, fit) = student
    assert not wants_radius(fit)


def test_a_student_of_many_dimensions_comes_close():
    """128 draws are too few for the shape of 90 dimensions: the fit's own is kept, and the verdict is trust nevertheless."""
    fit = mc.fit(_student(90, 4.0), seed=2, progress=False)
    assert fit.verdict == "trust" and fit.map is not None and abs(fit.map.degrees - 4.0) < 0.4
    u = np.random.default_rng(4).standard_normal(90)
    assert np.isfinite(mapped(_student(90, 4.0), fit.map).log_density(u))
