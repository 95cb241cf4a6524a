"""`Gaussian` against scipy, and its closed forms against each other."""

import numpy as np
import pytest
import scipy.stats

from monochord import Gaussian
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.testing import assert_mean_close, assert_moments_close


@pytest.fixture
def pair(ugly_covariance, ugly_mean):
    """Two Gaussians of dim 5 that differ in mean, family and scale."""
    first = Gaussian(ugly_mean(5), DenseMetric.from_covariance(ugly_covariance(5)))
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((5, 2)))[0]
    scale = np.sqrt(np.diag(ugly_covariance(5))) * np.array([0.7, 1.6, 0.9, 1.3, 0.5])
    second = Gaussian(ugly_mean(5) + 0.4 * scale, LowRankMetric(scale, basis, np.array([0.3, 6.0])))
    return first, second


def _scipy(gaussian):
    return scipy.stats.multivariate_normal(np.asarray(gaussian.mean), np.asarray(gaussian.metric.dense()))


def test_log_prob_agrees_with_scipy(pair, rng):
    """Catches: a missing log det, 2π or mean; the wrong Cholesky factor."""
    for gaussian in pair:
        x = gaussian.sample(rng, 7)
        np.testing.assert_allclose(gaussian.log_prob(x), _scipy(gaussian).logpdf(x), rtol=1e-9)


def test_log_prob_and_score_of_one_point_have_the_shape_of_one_point(pair):
    """Catches: a batch axis that is assumed."""
    x = pair[0].mean + 0.1
    assert np.shape(pair[0].log_prob(x)) == ()
    np.testing.assert_allclose(pair[0].log_prob(x), _scipy(pair[0]).logpdf(x), rtol=1e-9)
    assert pair[0].score(x).shape == (5,)


def test_score_is_the_gradient_of_log_prob(pair, rng):
    """Catches: a wrong sign, Σ in place of Σ⁻¹."""
    for gaussian in pair:
        x = gaussian.sample(rng, 3)
        root = np.sqrt(np.asarray(gaussian.metric.diagonal()))
        for i in range(5):
            step = 1e-5 * root[i] * np.eye(5)[i]
            slope = (gaussian.log_prob(x + step) - gaussian.log_prob(x - step)) / 2e-5
            np.testing.assert_allclose(gaussian.score(x)[:, i] * root[i], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.statistical
def test_sample_has_the_stated_mean_and_covariance(pair, rng):
    """Catches: draws unwhitened by Lᵀ, by the precision's factor, or not shifted."""
    for gaussian in pair:
        draws = gaussian.sample(rng, 40_000)[:, None, :]
        assert_moments_close(draws, gaussian.mean, gaussian.metric.dense(), must_detect=0.05, must_detect_square=0.1)


@pytest.mark.statistical
def test_sample_with_a_transposed_factor_is_caught(pair, rng):
    """Negative control of the test above: draws z L in place of L z must fail it."""
    gaussian = pair[0]
    z = rng.standard_normal((40_000, 5))
    draws = (gaussian.mean + gaussian.metric.whiten_covector(z))[:, None, :]
    with pytest.raises(AssertionError, match="differs"):
        assert_moments_close(draws, gaussian.mean, gaussian.metric.dense(), must_detect=0.05, must_detect_square=0.1)


def test_entropy_agrees_with_scipy(pair):
    """Catches: a missing dim/2, or log det L for log det Σ."""
    for gaussian in pair:
        assert gaussian.entropy() == pytest.approx(_scipy(gaussian).entropy(), rel=1e-10)


def test_kl_agrees_with_the_dense_formula(pair):
    """Catches: arguments exchanged, a missing trace or shift."""
    for p, q in (pair, pair[::-1]):
        sigma_p, sigma_q = (np.asarray(g.metric.dense()) for g in (p, q))
        shift = q.mean - p.mean
        expected = 0.5 * (
            np.trace(np.linalg.solve(sigma_q, sigma_p)) + shift @ np.linalg.solve(sigma_q, shift) - 5
            + np.linalg.slogdet(sigma_q)[1] - np.linalg.slogdet(sigma_p)[1]
        )  # fmt: skip
        assert p.kl(q) == pytest.approx(expected, rel=1e-8)
    assert abs(pair[0].kl(pair[0])) < 1e-9
    assert pair[0].kl(pair[1]) != pytest.approx(pair[1].kl(pair[0]), rel=0.1)


@pytest.mark.statistical
def test_kl_agrees_with_monte_carlo(pair, rng):
    """Independent of the closed form: the mean of log p − log q at draws of p."""
    p, q = pair
    x = p.sample(rng, 50_000)
    terms = p.log_prob(x) - q.log_prob(x)
    error = terms.std(ddof=1) / np.sqrt(len(terms))
    assert_mean_close(terms.mean(), error, p.kl(q), must_detect=0.05 * p.kl(q))
    with pytest.raises(AssertionError, match="differs"):  # the control: the other direction is another number
        assert_mean_close(terms.mean(), error, q.kl(p), must_detect=0.05 * p.kl(q))


def test_kl_sums_all_blocks_of_rows():
    """Catches: a dimension above the block of 256 rows that is cut or padded wrongly."""
    ratio = np.geomspace(0.3, 4.0, 300)
    p = Gaussian(np.zeros(300), DiagonalMetric(ratio))
    q = Gaussian(np.zeros(300), DiagonalMetric(np.full(300, 1.7)))
    expected = 0.5 * np.sum((ratio / 1.7) ** 2 - 1 - 2 * np.log(ratio / 1.7))
    assert p.kl(q) == pytest.approx(expected, rel=1e-10)


def test_a_mean_of_another_length_is_refused():
    """Catches: broadcasting a mean of length 1 over all coordinates."""
    with pytest.raises((ValueError, TypeError), match="mean"):
        Gaussian(np.array([0.3]), DiagonalMetric(np.array([0.5, 2.0, 7.0])))
