"""Reverse-KL Gaussians of targets that are not Gaussian: what they satisfy, how they are ordered, what their KL certifies."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from monochord import Diagonal, Gaussian
from monochord.fits import match
from monochord.fits._score import antithetic_batch, pair_mean, residual_terms
from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.spectra import squared_frequencies
from monochord.targets import Evaluations, callable_target, evaluate, hessians
from monochord.testing import assert_mean_close, funnel_target

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def _logistic(params, design, outcome, prior_scale):
    logits = design @ params["beta"]
    return jnp.sum(outcome * logits - jnp.logaddexp(0.0, logits)) - 0.5 * jnp.sum((params["beta"] / prior_scale) ** 2)


def _logistic_moments(design, outcome, prior_scale, mean, covariance):
    """(E_q g, E_q H) of the potential: every logit is normal under q, so one-dimensional quadrature is exact."""
    centre, spread = design @ mean, np.sqrt(np.sum((design @ covariance) * design, axis=1))
    p = 1 / (1 + np.exp(-(centre[:, None] + spread[:, None] * NODES)))
    gradient = design.T @ (p @ WEIGHTS - outcome) + mean / prior_scale**2
    return gradient, (design * ((p * (1 - p)) @ WEIGHTS)[:, None]).T @ design + np.diag(prior_scale**-2)


@pytest.fixture(scope="module")
def regression():
    """n = 120, d = 8, correlated columns of unequal scales; its target and its quadrature."""
    rng = np.random.default_rng(8)
    prior_scale = np.linspace(1.0, 4.0, 8)
    design = (rng.standard_normal((120, 8)) @ (np.eye(8) + 0.3 * rng.standard_normal((8, 8)))) * np.geomspace(0.3, 2, 8)
    outcome = (rng.uniform(size=120) < 1 / (1 + np.exp(-0.7 * design[:, 2] + 0.4 * design[:, 5]))).astype(float)
    target = callable_target(
        _logistic, {"beta": np.zeros(8)}, {"design": design, "outcome": outcome, "prior_scale": prior_scale}
    )
    return target, lambda mean, covariance: _logistic_moments(design, outcome, prior_scale, mean, covariance)


def _natural_gradient(moments, dim, diagonal):
    """Full steps Σ⁻¹ ← E_q H (its diagonal for mean field), μ ← μ − (E_q H)⁻¹ E_q g until nothing changes."""
    mean, covariance = np.zeros(dim), 0.05 * np.eye(dim)
    for _ in range(200):
        gradient, average = moments(mean, covariance)
        covariance = np.linalg.inv(np.diag(np.diag(average)) if diagonal else average)
        covariance = (covariance + covariance.T) / 2
        mean = mean - np.linalg.solve(average, gradient)
    return mean, covariance


def test_vi_stationarity(regression):
    """At the reverse-KL optimum E_q g = 0 and Σ⁻¹ = E_q H, so E_q tr(ΣH) = d; mean field: 1/σ_i² = E_q H_ii.

    Quadrature here, Hessians and scores from the library's target at antithetic draws. Catches: derivatives of another
    density, a Hessian of the log density for that of the potential. Control: the mean-field fit fails the dense law.
    """
    _, moments = regression
    mean, covariance = _natural_gradient(moments, 8, diagonal=False)
    gradient, average = moments(mean, covariance)
    metric = DenseMetric.from_covariance(covariance)
    precision = np.asarray(metric.solve(np.eye(8)))
    assert np.linalg.norm(precision - average) < 1e-12 * np.linalg.norm(average)
    assert np.linalg.norm(metric.whiten_covector(gradient)) < 1e-12
    squared = squared_frequencies(metric, average)
    np.testing.assert_allclose(squared, 1.0, atol=1e-12)
    mean, covariance = _natural_gradient(moments, 8, diagonal=True)
    gradient, average = moments(mean, covariance)
    field = DiagonalMetric(np.sqrt(np.diag(covariance)))
    np.testing.assert_allclose(field.precision_diagonal(), np.diag(average), rtol=1e-12)
    squared = squared_frequencies(field, average)
    assert squared.mean() == pytest.approx(1.0, abs=1e-12)
    assert squared[-1] > 1.5


@pytest.mark.statistical
def test_vi_stationarity_by_draws(regression, rng):
    """The score residual times d is D(q; p) = E_q g'Σg − d at the optimum, and mean Hessians at draws are Σ⁻¹.

    16 000 antithetic pairs; false-fail 1e-6; an error of .4 D, or of .03 in the mean curvature, missed with 1e-3.
    Catches: a residual in the wrong metric or without its 1/d, Hessians of another density. Control: a q with Σ twice as
    large is no optimum, and the two estimators of D differ by d there.
    """
    target, moments = regression
    mean, covariance = _natural_gradient(moments, 8, diagonal=False)

    def disagreement(q):
        """The two estimators' difference, the residual's own estimate, and the points."""
        points = antithetic_batch(target, q, rng, 16_000)
        forces = (np.asarray(q.metric.whiten_covector(points.score)) ** 2).sum(1)
        squares = (np.asarray(q.metric.whiten(points.x - q.mean)) ** 2).sum(1)  # mean d, and correlated with the forces
        residual = residual_terms(q, points)
        return pair_mean(8 * residual - (forces - squares)), pair_mean(residual), points

    gaussian = Gaussian(mean, DenseMetric.from_covariance(covariance))
    gap, residual, points = disagreement(gaussian)
    divergence = 8 * residual.value
    assert 0.05 < divergence < 0.5
    assert_mean_close(gap.value, gap.standard_error, 0.0, must_detect=0.4 * divergence)
    gap, *_ = disagreement(Gaussian(mean, DenseMetric.from_covariance(2 * covariance)))
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(gap.value, gap.standard_error, 0.0, must_detect=0.4 * divergence)
    chosen = np.concatenate([points.x[:400], points.x[16_000:16_400]])
    each = np.array([squared_frequencies(gaussian.metric, hessian).mean() for hessian in hessians(target, chosen)])
    pairs = each.reshape(2, -1).mean(0)
    assert_mean_close(pairs.mean(), pairs.std(ddof=1) / 20, 1.0, must_detect=0.03)


@pytest.mark.parametrize(
    ("count", "variance", "other"),
    [(1, 1.636364, 0.441233), (9, 0.216867, 0.897238), (99, 0.020157, 0.989972)],
)
def test_funnel_closed_form(count, variance, other):
    """Neal's funnel with n x's: reverse KL has mean 0, s_v² = 18/(2 + 9n), τ² = exp(−s_v²/2): far too narrow in v.

    E_q of the library's own Hessians and scores by quadrature that is exact (Gauss-Hermite in v; ±τ in x, as H is
    quadratic in x). Catches: the funnel's own scales, a density without its volume term. Control: the true variance 9.
    """
    assert 18 / (2 + 9 * count) == pytest.approx(variance, abs=6e-7)
    assert np.exp(-9 / (2 + 9 * count)) == pytest.approx(other, abs=6e-7)
    target = funnel_target(count + 1)
    names = list(target.names)
    v = names.index("v")

    def stationarity(variance, other):
        nodes, weights = np.polynomial.hermite_e.hermegauss(12 if variance < 1 else 24)
        signs = np.where(np.arange(count) % 3, 1.0, -1.0) * np.sqrt(other)
        points = np.empty((2 * len(nodes), count + 1))
        points[:, np.arange(count + 1) != v] = np.repeat([signs, -signs], len(nodes), axis=0)
        points[:, v] = np.tile(np.sqrt(variance) * nodes, 2)
        weights = np.tile(weights, 2) / (2 * weights.sum())
        scale = np.full(count + 1, np.sqrt(other))
        scale[v] = np.sqrt(variance)
        average = np.tensordot(weights, hessians(target, points), 1)
        return np.diag(average) * scale**2, (weights @ evaluate(target, points).score) * scale

    diagonal, score = stationarity(18 / (2 + 9 * count), np.exp(-9 / (2 + 9 * count)))
    np.testing.assert_allclose(diagonal, 1.0, atol=1e-9)
    np.testing.assert_allclose(score, 0.0, atol=1e-9)
    diagonal, _ = stationarity(9.0, np.exp(-4.5))
    assert diagonal[v] == pytest.approx(1 + 4.5 * count, rel=1e-3)


def _log_cosh_force(x):
    return 3 * np.tanh(3 * x) + x / 2


def _log_cosh_curvature(x):
    return 9 / np.cosh(3 * x) ** 2 + 0.5


def test_ordering():
    """U = log(2 cosh 3x) + x²/4: 1/E H ≤ Fisher ≤ Cov ≤ E 1/H under p, and BaM sd < KL sd < true sd.

    By the trapezium rule; the Fisher and BaM answers also from the library's match on points at mid-quantiles.
    Catches: variances for standard deviations, a match weighted by p where it is by q.
    """
    x = np.linspace(-12, 12, 48_001)
    p = np.exp(-np.logaddexp(3 * x, -3 * x) - x**2 / 4)
    p /= p.sum()
    covariance, force, curvature = (p @ f for f in (x**2, _log_cosh_force(x) ** 2, _log_cosh_curvature(x)))
    inverse = p @ (1 / _log_cosh_curvature(x))
    assert force == pytest.approx(curvature, rel=1e-9)  # Bartlett's identity
    assert curvature == pytest.approx(5.222544, abs=6e-7)
    values = [1 / curvature, np.sqrt(covariance / force), covariance, inverse]
    np.testing.assert_allclose(values, [0.191478, 0.205078, 0.219645, 0.409207], atol=6e-7)
    assert np.all(np.diff(values) > 0.01)

    def scale_where(average):
        """The s with s⁻² = E over N(0, s²)."""
        z, weights = np.linspace(-9, 9, 4001), np.exp(-(np.linspace(-9, 9, 4001) ** 2) / 2)
        return brentq(lambda s: 1 / s**2 - weights @ average(s * z) / weights.sum(), 0.2, 1.0, xtol=1e-13)

    kl, bam = scale_where(_log_cosh_curvature), scale_where(lambda x: _log_cosh_force(x) ** 2)
    assert (kl, bam) == (pytest.approx(0.447936, abs=6e-7), pytest.approx(0.433548, abs=6e-7))
    assert bam < kl < np.sqrt(covariance)

    def matched(current, x):
        points = Evaluations(x[:, None], np.zeros(len(x)), -_log_cosh_force(x)[:, None])
        return float(match(Diagonal(), current, points, 1e10).metric.scale[0])

    levels = (np.arange(20_000) + 0.5) / 20_000
    z = stats.norm.ppf(levels)
    z /= z.std()
    scale = 0.9
    for _ in range(60):
        scale = matched(Gaussian(np.zeros(1), DiagonalMetric(np.array([scale]))), scale * z)
    assert scale == pytest.approx(bam, abs=2e-4)
    from_p = np.interp(levels, np.cumsum(p) - p / 2, x)
    fisher = matched(Gaussian(np.zeros(1), DiagonalMetric(np.array([0.9]))), from_p)
    assert fisher**2 == pytest.approx(values[1], rel=1e-3)


@pytest.mark.parametrize(("degrees", "information"), [(3, 2.0), (5, 1.25), (10, 1.0576923)])
def test_ordering_of_heavy_tails(degrees, information):
    """Student's t of unit variance: E g² = ν(ν + 1)/((ν − 2)(ν + 3)), above 1, so 1/E H is below the variance.

    By quadrature. Catches: the variance ν/(ν − 2) left out (the control).
    """
    spread = np.sqrt((degrees - 2) / degrees)
    u = (np.arange(400_000) + 0.5) / 400_000
    x = spread * stats.t.ppf(u, degrees)
    force = (degrees + 1) * x / (degrees * spread**2 + x**2)
    closed = degrees * (degrees + 1) / ((degrees - 2) * (degrees + 3))
    assert np.mean(force**2) == pytest.approx(closed, rel=1e-4)
    assert closed == pytest.approx(information, abs=6e-8)
    assert abs((degrees + 1) / (degrees + 3) - closed) > 0.1
