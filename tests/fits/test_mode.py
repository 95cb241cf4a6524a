"""Laplace's approximation: exact on Gaussians, the curvature at the mode elsewhere, and honest where there is none."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.counting import Counter, counted
from monochord import Dense, Diagonal, FitStatus, LowRank
from monochord.fits import _mode, run
from monochord.fits._laplace import lifted, structured
from monochord.fits._mode import Laplace
from monochord.metrics import LowRankMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import callable_target
from monochord.testing import flat_direction_target, funnel_target, gaussian_target, nowhere_finite_target

FAMILIES = [Diagonal(), LowRank(rank=2), Dense()]


def _kappa(result, covariance) -> float:
    return condition_number(squared_frequencies(result.gaussian.metric, np.linalg.inv(covariance)))


@pytest.mark.parametrize(("dim", "condition"), [(3, 1e8), (12, 1e4), (40, 50.0)])
def test_a_gaussian_is_found_exactly(dim, condition, ugly_covariance, ugly_mean, key):
    """Catches: a half, a sign, a mean left where L-BFGS stopped."""
    covariance = ugly_covariance(dim, condition)
    result = run(key, gaussian_target(ugly_mean(dim), covariance), Laplace(Dense()))
    assert _kappa(result, covariance) < 1 + 1e-6
    assert result.status is FitStatus.converged and result.verdict == "trust"
    gap = np.linalg.solve(np.linalg.cholesky(covariance), result.gaussian.mean - ugly_mean(dim))
    assert np.abs(gap).max() < 1e-5
    assert result.cost.gradients < 2500


@pytest.fixture
def low_rank_covariance(ugly_scale):
    """`(dim, eigenvalues) -> Σ` = S(I + U(Λ − I)Uᵀ)S with random directions."""

    def make(dim, eigenvalues):
        basis = np.linalg.qr(np.random.default_rng(4).standard_normal((dim, len(eigenvalues))))[0]
        return LowRankMetric(ugly_scale(dim), basis, np.asarray(eigenvalues)).dense()

    return make


def test_a_diagonal_plus_low_rank_gaussian_is_found_exactly(low_rank_covariance, ugly_mean, key):
    """Both ends of the spectrum; not with one direction fewer. Catches: a scale that is not the family's."""
    covariance = low_rank_covariance(20, [30.0, 0.05, 6.0])
    target = gaussian_target(ugly_mean(20), covariance)
    results = [run(key, target, Laplace(LowRank(rank=rank))) for rank in (3, 2)]
    assert _kappa(results[0], covariance) < 1 + 1e-4
    assert results[0].status is FitStatus.converged
    assert _kappa(results[1], covariance) > 2.0


def test_the_diagonal_is_that_of_least_kl(ugly_covariance, ugly_mean, key):
    """1/√H_ii, mean-field VI's answer (theory, theorem 2). Catches: marginal scales."""
    covariance = ugly_covariance(6)
    result = run(key, gaussian_target(ugly_mean(6), covariance), Laplace(Diagonal()))
    expected = 1.0 / np.diag(np.linalg.inv(covariance))
    np.testing.assert_allclose(result.gaussian.metric.diagonal(), expected, rtol=1e-6)


def test_structured_lowers_the_kl_of_its_first_scale(ugly_covariance, ugly_mean):
    """Catches: an alternation that ends at a worse Gaussian than it began with."""
    from monochord import Gaussian

    for dim in (6, 13):
        full, _ = lifted(np.linalg.inv(ugly_covariance(dim)))
        exact, mean = Gaussian(ugly_mean(dim), full), ugly_mean(dim)
        kls = [Gaussian(mean, structured(LowRank(rank=rank), full)).kl(exact) for rank in (1, 2, 4)]
        kls.insert(0, Gaussian(mean, structured(Diagonal(), full)).kl(exact))
        assert np.all(np.diff(kls) < 0)


def _student(params, mean, scale):
    z = (params["x"] - mean) / scale
    return -2.5 * jnp.sum(jnp.log1p(z**2 / 4.0))


@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_student_t_scales(family, key, ugly_mean, ugly_scale):
    """Theory 2.2: Laplace's sd of t₄ is √(4/5) = .894, where the true one is 1.414. Catches: a half, an average."""
    data = {"mean": ugly_mean(6), "scale": ugly_scale(6)}
    result = run(key, callable_target(_student, {"x": np.zeros(6)}, data), Laplace(family=family))
    np.testing.assert_allclose(np.sqrt(result.gaussian.metric.diagonal()) / ugly_scale(6), 0.894427, rtol=1e-3)
    np.testing.assert_allclose((result.gaussian.mean - ugly_mean(6)) / ugly_scale(6), 0.0, atol=1e-3)
    assert result.status is FitStatus.settled


def test_without_a_hessian_fast_directions_are_found_from_products(key, ugly_mean, monkeypatch):
    """Measured over 10 keys: κ of 1.5 to 2.5, where the identity has 25,000 and the diagonal family 1,170. Scales
    from e^-1.5 to e^1.5, with which L-BFGS converges. Catches: probes in the wrong coordinates, large
    eigenvalues that drown them, a Krylov space of the wrong operator."""
    monkeypatch.setattr(_mode, "EXACT_LIMIT", 0)
    basis = np.linalg.qr(np.random.default_rng(4).standard_normal((120, 3)))[0]
    metric = LowRankMetric(np.exp(np.linspace(-1.5, 1.5, 120)), basis, np.array([0.003, 0.005, 0.01]))
    target = gaussian_target(ugly_mean(120) / 120, metric.dense())
    results = [run(key, target, Laplace(family)) for family in (LowRank(rank=3), Diagonal())]
    assert _kappa(results[0], metric.dense()) < 10.0
    assert _kappa(results[1], metric.dense()) > 500.0
    descent, newton = results[0].trace[-3:-1]
    assert newton.gradients - descent.gradients <= 2 * (2 * 48 + _mode.MAX_CONJUGATE_STEPS)


def test_lifting_counts_what_it_mends():
    """Catches: a repair that hides, units that decide what is singular."""
    scale = np.exp(np.linspace(-6, 6, 4))
    hessian = np.diag([2.0, -3.0, 0.0, 5.0]) * np.outer(scale, scale)
    metric, mended = lifted(hessian)
    assert mended == 2
    np.testing.assert_allclose(metric.diagonal()[[0, 1, 3]], 1 / np.abs(np.diag(hessian))[[0, 1, 3]], rtol=1e-12)
    assert np.all(np.isfinite(metric.scale)) and lifted(hessian + np.diag(10 * scale**2))[1] == 0


def _saddle(params, curvature):
    return -0.5 * jnp.sum(curvature * params["x"] ** 2) - 0.01 * jnp.sum(params["x"] ** 4)


def test_a_point_that_is_no_mode_is_said_to_be_none(key):
    """The start is a saddle, where every gradient is zero. Catches: an inverse of an indefinite Hessian."""
    target = callable_target(_saddle, {"x": np.zeros(3)}, {"curvature": np.array([1.0, -2.0, 3.0])})
    result = run(key, target, Laplace(), initial=np.zeros((1, 3)))
    assert result.repairs.failed_factorisations == 1
    assert result.status is FitStatus.diverged and result.verdict == "do not use"
    assert np.all(np.isfinite(result.gaussian.metric.diagonal()))
    result = run(key, target, Laplace())  # other starts find a mode
    assert result.status is not FitStatus.diverged and result.repairs.failed_factorisations == 0


@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_improper_and_unbounded_densities_end_diverged(family, key):
    """Catches: an exception, a Gaussian of infinite scale."""
    assert run(key, flat_direction_target(3), Laplace(family)).status is FitStatus.diverged
    uphill = callable_target(_uphill, {"x": np.zeros(3)}, {"slope": np.array([1.0, -2.0, 0.5])})
    result = run(key, uphill, Laplace(family))
    assert result.status is FitStatus.diverged and result.verdict == "do not use"
    assert run(key, nowhere_finite_target(), Laplace(family)).status is FitStatus.no_finite_start


def _uphill(params, slope):
    return jnp.sum(slope * params["x"])


def test_a_funnel_is_not_trusted(key):
    """Its mode is at v = −9n/2, in the neck. Catches: trust in a mode that holds no mass."""
    result = run(key, funnel_target(10), Laplace())
    assert result.verdict != "trust"
    assert result.gaussian is None or np.all(np.isfinite(result.gaussian.mean))


def _curved(params, scale):
    x = params["x"] / scale
    return -0.5 * jnp.sum(x**2) - 0.1 * jnp.sum(jnp.cos(x)) - 0.3 * x[0] * x[1]


@pytest.mark.parametrize("exact", [True, False], ids=["Hessian", "products"])
@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_costs_equal_an_independent_count_and_resuming_changes_nothing(family, exact, key, monkeypatch):
    """The density counts itself, two for a product. Catches: an uncharged line search, a state that leaves something out."""
    if not exact:
        monkeypatch.setattr(_mode, "_is_exact", lambda *_: False)
    counter, algorithm = Counter(), Laplace(family=family, num_starts=3)
    data = {"scale": np.exp(np.linspace(-1.0, 1.0, 24))}
    target = callable_target(counted(_curved, counter), {"x": np.zeros(24)}, data)
    before = counter.total
    whole = run(key, target, algorithm)
    assert counter.total - before == whole.cost.gradients + whole.cost.idle_lanes
    assert type(whole.gaussian.metric).__name__ == type(family).__name__ + "Metric"
    for steps in (2, whole.state.num_steps - 1):
        part = run(key, target, algorithm, max_steps=steps)
        again = run(key, target, algorithm, state=part.state)
        assert (again.elbo, again.cost, again.repairs) == (whole.elbo, whole.cost, whole.repairs)
        np.testing.assert_array_equal(again.gaussian.metric.dense(), whole.gaussian.metric.dense())


def _box(params, scale):
    x = (params["x"] - 0.2) / scale
    inside = jnp.all(jnp.abs(x) < 2.0)
    return jnp.where(inside, -0.5 * jnp.sum(x**2) - 0.4 * x[0] * x[1], -jnp.inf)


@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_a_box_is_survived(family, key):
    """Catches: a line search that meets zero density and gives up; a NaN that spreads."""
    target = callable_target(_box, {"x": np.full(5, 0.2)}, {"scale": np.exp(np.linspace(-1.0, 1.0, 5))})
    result = run(key, target, Laplace(family=family))
    assert result.repairs.nonfinite_points > 0
    assert np.isfinite(result.elbo.value)
    np.testing.assert_allclose(result.gaussian.mean, 0.2, atol=1e-4)
