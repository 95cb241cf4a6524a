"""Scores determine a Gaussian without noise; covariances and fixed draws carry the noise of a white Wishart matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord import Dense, Gaussian
from monochord.fits import match
from monochord.metrics import DenseMetric, DiagonalMetric, identity_metric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import Evaluations
from monochord.testing import assert_mean_close


def _symmetric_inverse(matrix):
    inverse = np.linalg.inv(matrix)
    return (inverse + inverse.T) / 2


def _exact_scores(mean, precision, x):
    score = -(x - mean) @ precision
    return Evaluations(x, 0.5 * np.sum((x - mean) * score, axis=1), score)


@pytest.fixture
def problem(ugly_covariance, ugly_mean):
    """A Gaussian of dim 7, and a diagonal prior with another mean and other scales."""
    covariance = ugly_covariance(7)
    scale = np.sqrt(np.diag(covariance)) * np.array([0.6, 1.4, 0.8, 2.0, 1.1, 0.5, 1.7])
    return ugly_mean(7), _symmetric_inverse(covariance), Gaussian(ugly_mean(7) + 0.5 * scale, DiagonalMetric(scale))


def _regression_error(points, precision):
    """Relative error of the least-squares regression of centred scores on centred points, in unit scales."""
    scale = 1 / np.sqrt(np.diag(precision))
    x, g = (points.x - points.x.mean(0)) / scale, -(points.score - points.score.mean(0)) * scale
    wanted = precision * np.outer(scale, scale)
    return np.linalg.norm(np.linalg.lstsq(x, g, rcond=None)[0] - wanted) / np.linalg.norm(wanted)


def test_score_exactness_of_regression(problem, rng):
    """d + 1 gradients give H exactly, d do not. Medians of 21 batches, as random points may be nearly degenerate.

    Catches: scores that are not those of the points, a prior on their mean.
    """
    mean, precision, prior = problem
    batches = [_exact_scores(mean, precision, prior.sample(rng, 8)) for _ in range(21)]
    assert np.median([_regression_error(points, precision) for points in batches]) < 1e-9
    assert np.median([_regression_error(points.take(slice(7)), precision) for points in batches]) > 1e-2


def test_score_exactness_of_the_match(problem, rng):
    """The score match at strength 1e6 with d + 1 points: κ < 1.01; with d points it is far from 1.

    Catches: λ/(1 + λ) lost, a factor n/(n − 1) between the covariances, the root of the wrong sign.
    """
    mean, precision, prior = problem

    def kappa(points):
        return condition_number(squared_frequencies(match(Dense(), prior, points, 1e6).metric, precision))

    batches = [_exact_scores(mean, precision, prior.sample(rng, 8)) for _ in range(41)]
    assert np.median([kappa(points) for points in batches]) < 1.01
    assert np.median([kappa(points.take(slice(7))) for points in batches]) > 1.2
    assert condition_number(squared_frequencies(prior.metric, precision)) > 20


def test_score_exactness_of_a_low_rank_correction(rng, ugly_scale):
    """H = D + rank k with D known: K = Rᵀ(RXᵀ)⁻¹R of the residual R = G − XD is exact from k + 1 gradients, not k.

    Read through the metric's own spectrum. Catches: scores and Hessians of different signs, centring that loses a point.
    """
    dim, rank = 11, 3
    diagonal = ugly_scale(dim) ** -2
    wide = rng.standard_normal((dim, rank)) * np.sqrt(diagonal)[:, None] * np.array([2.0, 5.0, 9.0])
    precision = np.diag(diagonal) + wide @ wide.T
    draws = (rng.standard_normal((rank + 1, dim)) / np.sqrt(diagonal)) + 0.4

    def recovered(num_points):
        points = _exact_scores(0.4 * np.ones(dim), precision, draws[:num_points])
        x, gradient = points.x - points.x.mean(0), -(points.score - points.score.mean(0))
        x, gradient = x[1:], gradient[1:]
        residual = gradient - x * diagonal
        estimate = np.diag(diagonal) + residual.T @ np.linalg.solve(residual @ x.T, residual)
        return (estimate + estimate.T) / 2

    metric = DenseMetric.from_covariance(_symmetric_inverse(recovered(rank + 1)))
    np.testing.assert_allclose(squared_frequencies(metric, precision), 1.0, atol=1e-7)
    squared = squared_frequencies(DiagonalMetric(diagonal**-0.5), recovered(rank) - precision)
    assert np.abs(squared).max() > 1e-2


DIM = 50
MEDIANS = {100: 28.45, 200: 8.06, 500: 3.463, 2000: 1.831}  # white Wishart matrices by NumPy, errors below .4 %


@pytest.mark.statistical
@pytest.mark.parametrize("num_draws", [100, 500])
def test_wishart_noise(num_draws, random_spd, rng):
    """The spectrum of a sample covariance against H is that of a white Wishart matrix with ν = n − 1 degrees, whatever H.

    E tr S/d = 1, E tr S²/d = (ν + d + 1)/ν, E tr S⁻¹/d = ν/(ν − d − 1). 100 covariances; false-fail 1e-6, an error of
    20 % of the excess over 1 missed with 1e-3. Catches: noise that depends on H, a spectrum inverted. Control: the
    numbers of an exact metric, 1 each, are rejected.
    """
    hessian = random_spd(DIM, 2.0)
    root = np.linalg.cholesky(_symmetric_inverse(hessian))
    spectra = []
    for _ in range(100):
        x = rng.standard_normal((num_draws, DIM)) @ root.T + 3.0
        spectra.append(squared_frequencies(DenseMetric.from_covariance(np.cov(x.T)), hessian))
    spectra = np.array(spectra)
    free = num_draws - 1
    traces = np.stack([spectra.sum(1), (spectra**2).sum(1), (1 / spectra).sum(1)], axis=1) / DIM
    expected = np.array([1.0, (free + DIM + 1) / free, free / (free - DIM - 1)])
    error = traces.std(0, ddof=1) / np.sqrt(len(traces))
    assert_mean_close(traces.mean(0), error, expected, must_detect=0.2 * (expected - 1 + [1.0, 0.0, 0.0]))
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(traces.mean(0), error, 1.0, must_detect=0.15)
    kappa = np.median(spectra[:, -1] / spectra[:, 0])
    assert kappa == pytest.approx(MEDIANS[num_draws], rel=0.15)


@pytest.mark.nightly
@pytest.mark.statistical
@pytest.mark.parametrize("num_draws", sorted(MEDIANS))
def test_wishart_noise_medians(num_draws, rng):
    """Median κ of 300 sample covariances of 50 coordinates, to 6 %. Catches: n ≫ d needed for more than is told."""
    kappas = []
    for _ in range(300):
        metric = DenseMetric.from_covariance(np.cov(rng.standard_normal((DIM, num_draws))))
        kappas.append(condition_number(squared_frequencies(metric, np.eye(DIM))))
    assert np.median(kappas) == pytest.approx(MEDIANS[num_draws], rel=0.06)


def test_wishart_noise_is_free_of_the_target(random_spd, rng):
    """The same white draws give the same spectrum for every Gaussian: affine equivariance, exactly.

    Catches: a sample covariance that is shrunk towards a fixed matrix. Control: shrinkage towards I does depend on H.
    """
    white = rng.standard_normal((90, 8))
    plain = squared_frequencies(DenseMetric.from_covariance(np.cov(white.T)), np.eye(8))
    for spread in (0.5, 2.0):
        hessian = random_spd(8, spread)
        covariance = np.cov((white @ np.linalg.cholesky(_symmetric_inverse(hessian)).T).T)
        squared = squared_frequencies(DenseMetric.from_covariance(covariance), hessian)
        np.testing.assert_allclose(squared, plain, rtol=1e-6)
        shrunk = DenseMetric.from_covariance(0.9 * covariance + 0.1 * np.eye(8))
        assert not np.allclose(squared_frequencies(shrunk, hessian), plain, rtol=1e-2)


def test_wishart_noise_of_fixed_draws(random_spd, rng):
    """Full-rank reverse KL with N fixed draws z ends at R S_z Rᵀ = H⁻¹: κ(RRᵀH) = κ(S_z), the noise of the draws.

    R = chol(H⁻¹) chol(S_z)⁻¹ is where the gradient of −log|R| + mean U(μ + Rz) vanishes; the problem is convex in
    (μ, R). Catches: an objective whose fixed draws cancel. Draws of exact moments give κ = 1; with N < d the
    objective falls without bound.
    """
    dim, num_draws = 6, 13
    hessian = random_spd(dim, 1.0)
    covariance = _symmetric_inverse(hessian)
    draws = rng.standard_normal((num_draws, dim))
    draws -= draws.mean(0)  # else the optimal mean moves as well

    def objective(root, draws):
        x = draws @ root.T
        return -jnp.sum(jnp.log(jnp.diagonal(root))) + 0.5 * jnp.mean(jnp.sum((x @ hessian) * x, axis=1))

    for exact in (False, True):
        if exact:
            draws = draws @ np.linalg.inv(np.linalg.cholesky(draws.T @ draws / num_draws)).T
        second = draws.T @ draws / num_draws
        root = np.linalg.cholesky(covariance) @ np.linalg.inv(np.linalg.cholesky(second))
        slope = np.tril(jax.grad(objective)(jnp.asarray(root), jnp.asarray(draws)))
        assert np.abs(slope / np.sqrt(np.diag(hessian))[:, None]).max() < 1e-9
        metric = DenseMetric.from_covariance(root @ root.T)
        noise = condition_number(squared_frequencies(identity_metric(dim), second))
        assert condition_number(squared_frequencies(metric, hessian)) == pytest.approx(noise, rel=1e-8)
        assert noise == pytest.approx(1.0, abs=1e-9) if exact else noise > 2
    few = np.array(draws[: dim - 1])
    last = np.eye(dim)
    unseen = np.linalg.svd(few)[2][-1]  # orthogonal to every draw
    last[-1] = unseen * np.sign(unseen[-1])
    falls = []
    for size in (1.0, 1e3, 1e6):
        stretched = last.copy()
        stretched[-1] *= size
        falls.append(float(objective(jnp.asarray(stretched), jnp.asarray(few))))
    assert falls[0] - falls[1] > 6.9
    assert falls[1] - falls[2] > 6.9
