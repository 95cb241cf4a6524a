"""Diagonal metrics: what each fit returns on a Gaussian, when that is best, when it hurts, and how noisy it is.

With H the precision and Σ its inverse: Jacobi (mean-field reverse KL) has scale⁻² = H_ii, Stan's has scale² = Σ_ii,
the Fisher diagonal scale⁴ = Σ_ii/H_ii, the fixed point of the score match rows of unit 2-norm.
"""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from monochord import Diagonal, Gaussian
from monochord.fits import match
from monochord.metrics import DenseMetric, DiagonalMetric, identity_metric
from monochord.spectra import best_diagonal, condition_number, langmore_number, squared_frequencies
from monochord.targets import Evaluations
from monochord.testing import assert_mean_close

HUGE = 1e10


def _symmetric_inverse(matrix):
    inverse = np.linalg.inv(matrix)
    return (inverse + inverse.T) / 2


def _diagonals(precision):
    covariance = _symmetric_inverse(precision)
    return {
        "jacobi": DiagonalMetric(1 / np.sqrt(np.diag(precision))),
        "variance": DiagonalMetric(np.sqrt(np.diag(covariance))),
        "fisher": best_diagonal(DenseMetric.from_covariance(covariance)),
        "match": _fixed_point_of_the_match(precision),
    }


def _fixed_point_of_the_match(precision, mean=0.7):
    """The library's diagonal match, repeated on batches with the exact moments of the current q."""
    dim = len(precision)
    current = Gaussian(np.full(dim, mean), DiagonalMetric(1 / np.sqrt(np.diag(precision))))
    for _ in range(400):
        scale = np.asarray(current.metric.scale)
        x = mean + np.sqrt(dim) * np.concatenate([np.diag(scale), -np.diag(scale)])
        score = -(x - mean) @ precision
        new = match(Diagonal(), current, Evaluations(x, 0.5 * np.sum((x - mean) * score, axis=1), score), HUGE)
        change = np.max(np.abs(np.log(np.asarray(new.metric.scale) / scale)))
        current = new
        if change < 1e-10:
            break
    return current.metric


def _kappa(metric, precision):
    return condition_number(squared_frequencies(metric, precision))


@pytest.fixture(scope="module")
def autoregression():
    """Precision of an AR(1) of correlation .95 and length 50, tridiagonal and exactly so."""
    inner = 1 + 0.95**2
    precision = np.diag([1.0, *[inner] * 48, 1.0]) - 0.95 * (np.eye(50, k=1) + np.eye(50, k=-1))
    return precision / (1 - 0.95**2)


def test_ar1_diagonals(autoregression):
    """κ and κ_L of every diagonal of an autoregression: none helps, and κ-optimal is not κ_L-optimal.

    Catches: Σ_ii for 1/H_ii, ω for ω², a sum over the wrong power in κ_L.
    """
    metrics = {"identity": identity_metric(50), **_diagonals(autoregression)}
    expected = {
        "identity": (989.4460, 65.0655),
        "jacobi": (981.0308, 65.2827),
        "variance": (989.4460, 65.0655),
        "fisher": (984.2348, 65.0864),
        "match": (982.1460, 65.2495),
    }
    for name, (kappa, langmore) in expected.items():
        squared = squared_frequencies(metrics[name], autoregression)
        assert condition_number(squared) == pytest.approx(kappa, abs=6e-5), name
        assert langmore_number(squared) == pytest.approx(langmore, abs=6e-5), name


def test_ar1_diagonals_jacobi_is_optimal(autoregression):
    """Forsythe & Straus: if the extreme unit eigenvectors agree up to signs, no diagonal rescaling lowers κ.

    Tridiagonal matrices have them, with a Jacobi spectrum symmetric about 1. A descent in the log scales, a convex
    problem, ends there too. Catches: a spectrum of the wrong matrix; eigenvalues of unscaled blocks.
    """
    jacobi = _diagonals(autoregression)["jacobi"]
    squared = squared_frequencies(jacobi, autoregression)
    np.testing.assert_allclose(squared + squared[::-1], 2.0, atol=1e-12)
    vectors = np.linalg.eigh(autoregression * np.outer(jacobi.scale, jacobi.scale))[1]
    np.testing.assert_allclose(np.abs(vectors[:, 0]), np.abs(vectors[:, -1]), atol=1e-10)

    def smooth_log_kappa(log_scale, sharpness=400.0):
        """Soft maximum of ±log λ with its gradient; within (2 log 50)/sharpness of log κ."""
        scale = np.exp(log_scale)
        values, vectors = np.linalg.eigh(autoregression * np.outer(scale, scale))
        value, slope = 0.0, np.zeros(50)
        for sign in (1.0, -1.0):
            terms = sharpness * sign * np.log(values)
            weights = np.exp(terms - terms.max())
            value += (terms.max() + np.log(weights.sum())) / sharpness
            slope += sign * 2 * (vectors**2) @ (weights / weights.sum())
        return value, slope

    start = 0.3 * np.cos(np.arange(50.0))
    found = minimize(smooth_log_kappa, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 4000})
    reached = _kappa(DiagonalMetric(np.exp(found.x)), autoregression)
    assert _kappa(DiagonalMetric(np.exp(start)), autoregression) > 1.3 * 981.0308
    assert 981.0308 - 1e-3 < reached < 1.005 * 981.0308


def test_diag_hurts():
    """H = [[2, −2, −2], [−2, 5, 4], [−2, 4, 5]] has κ = 10; Jacobi makes it 7 + 2√6, Fisher 11.133673.

    As a covariance, the variances do the same harm as Jacobi. Catches: a metric applied inverted, Σ_ii for 1/H_ii.
    """
    matrix = np.array([[2.0, -2.0, -2.0], [-2.0, 5.0, 4.0], [-2.0, 4.0, 5.0]])
    inverse = np.array([[9.0, 2.0, 2.0], [2.0, 6.0, -4.0], [2.0, -4.0, 6.0]]) / 10
    np.testing.assert_allclose(matrix @ inverse, np.eye(3), atol=1e-14)
    harm = 7 + 2 * np.sqrt(6)
    assert _kappa(identity_metric(3), matrix) == pytest.approx(10.0, rel=1e-12)
    assert _kappa(DiagonalMetric(np.diag(matrix) ** -0.5), matrix) == pytest.approx(harm, rel=1e-12)
    assert _kappa(DiagonalMetric(np.diag(matrix) ** 0.5), inverse) == pytest.approx(harm, rel=1e-12)
    # Fisher: s² = √(Σ_ii/H_ii), and (0, 1, −1) has the eigenvalue s₂²; the vectors orthogonal to it leave a 2 × 2 problem of this trace and determinant
    first, second = np.sqrt(0.9 / 2), np.sqrt(0.6 / 5)
    trace, determinant = 2 * first + 9 * second, 10 * first * second
    by_hand = (trace + np.sqrt(trace**2 - 4 * determinant)) / 2 / second
    fisher = best_diagonal(DenseMetric.from_covariance(inverse))
    assert by_hand == pytest.approx(11.133673, abs=1e-6)
    assert _kappa(fisher, matrix) == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize("correlation", [-0.83, 0.41])
def test_diag_hurts_not_in_two_dimensions(correlation):
    """In 2-d every diagonal is optimal, κ = (1 + |r|)/(1 − |r|). Catches: a sign, r² for |r|."""
    precision = np.array([[1.0, correlation], [correlation, 1.0]]) * np.outer([0.03, 7.0], [0.03, 7.0])
    best = (1 + abs(correlation)) / (1 - abs(correlation))
    for name, metric in _diagonals(precision).items():
        assert _kappa(metric, precision) == pytest.approx(best, rel=1e-7), name
    assert _kappa(identity_metric(2), precision) > 100 * best


def test_diag_hurts_not_under_equal_correlation(ugly_scale):
    """Equal correlations ρ in d dimensions: κ = (1 + (d − 1)ρ)/(1 − ρ) for every diagonal. Catches: a lost scale."""
    scale = ugly_scale(20)
    covariance = np.where(np.eye(20) == 1, 1.0, 0.9) * np.outer(scale, scale)
    for name, metric in _diagonals(_symmetric_inverse(covariance)).items():
        assert _kappa(metric, _symmetric_inverse(covariance)) == pytest.approx(181.0, rel=1e-6), name


def _fisher_log_variances(covariance, draws_per_fit, fits, rng):
    """log scale² of the library's diagonal match and log sample variances, shape (fits, dim) each."""
    dim = len(covariance)
    root = np.linalg.cholesky(covariance)
    prior = Gaussian(np.full(dim, 0.4), DiagonalMetric(2.0 * np.sqrt(np.diag(covariance))))
    matched, sampled = np.empty((2, fits, dim))
    for i in range(fits):
        z = rng.standard_normal((draws_per_fit, dim))
        x, score = 0.4 + z @ root.T, -np.linalg.solve(root.T, z.T).T
        metric = match(Diagonal(), prior, Evaluations(x, -0.5 * np.sum(z**2, axis=1), score), HUGE).metric
        matched[i], sampled[i] = 2 * np.log(metric.scale), np.log(x.var(0))
    return matched, sampled


@pytest.mark.statistical
def test_fisher_diag_variance(random_spd, rng):
    """n Var log σ̂² is 1 − 1/VIF_i for the Fisher diagonal and 2 for sample variances, VIF_i = Σ_ii H_ii.

    3000 fits of 300 draws; false-fail 1e-6, an error of a quarter missed with 1e-3. Catches: scores that carry the
    noise of the draws, a variance used in place of the ratio (the control).
    """
    fits, draws = 3000, 300
    core = random_spd(5, 1.2)
    covariance = core / np.outer(np.diag(core), np.diag(core)) ** 0.5 * np.outer(*[np.geomspace(0.1, 20, 5)] * 2)
    inflation = np.diag(covariance) * np.diag(_symmetric_inverse(covariance))
    share = 1 - 1 / inflation
    matched, sampled = _fisher_log_variances(covariance, draws, fits, rng)

    def scaled_variance(logs):
        squares = draws * (logs - logs.mean(0)) ** 2 * fits / (fits - 1)
        return squares.mean(0), squares.std(0) / np.sqrt(fits)

    value, error = scaled_variance(matched)
    finite = 0.01 * share  # terms of order 1/n, below 2/n of the value
    assert_mean_close(value, error, share, expected_error=finite, must_detect=0.25 * share)
    assert_mean_close(*scaled_variance(sampled), 2.0, expected_error=0.01, must_detect=0.5)
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(*scaled_variance(sampled), share, expected_error=finite, must_detect=0.5)


def test_fisher_diag_variance_is_zero_for_independent_coordinates(ugly_scale, rng):
    """A diagonal Gaussian is found exactly from any batch. Catches: noise that a sample variance would bring."""
    scale = ugly_scale(5)
    matched, sampled = _fisher_log_variances(np.diag(scale**2), 9, 6, rng)
    np.testing.assert_allclose(matched, np.tile(2 * np.log(scale), (6, 1)), atol=1e-7)
    assert np.abs(sampled - 2 * np.log(scale)).max() > 0.1


def test_sinkhorn_bam_diag(random_spd):
    """At the fixed point of the diagonal match every row of √Ψ H √Ψ has 2-norm 1 (2-norm equilibration).

    Catches: another mean of Σ_ii and 1/H_ii. The control is Jacobi, whose rows exceed 1.
    """
    for _ in range(12):
        precision = random_spd(5, 1.0)
        scale = np.asarray(_fixed_point_of_the_match(precision).scale)
        rows = np.linalg.norm(precision * np.outer(scale, scale), axis=1)
        np.testing.assert_allclose(rows, 1.0, atol=1e-7)
        jacobi = 1 / np.sqrt(np.diag(precision))
        assert np.linalg.norm(precision * np.outer(jacobi, jacobi), axis=1).max() > 1.01


def test_sinkhorn_bam_diag_survives_where_the_score_divergence_collapses():
    """min tr((ΨH − I)²) over Ψ ≥ 0 diagonal, a quadratic programme, may set a variance to exactly zero.

    By least squares under Ψ ≥ 0, checked against all faces. The fixed point of the match, which minimises the same
    divergence against its own current q, keeps it positive. Catches: a match that is the one-shot minimiser.
    """
    precision = np.array([[2.0, -3.0, -2.0], [-3.0, 6.0, 2.0], [-2.0, 2.0, 4.0]])
    assert np.linalg.eigvalsh(precision)[0] > 0.1
    gram, linear = precision**2, np.diag(precision)
    assert np.linalg.solve(gram, linear).min() < -0.1
    root = np.linalg.cholesky(gram)
    variances = nnls(root.T, np.linalg.solve(root, linear))[0]
    faces = []
    for kept in itertools.chain.from_iterable(itertools.combinations(range(3), size) for size in (1, 2, 3)):
        candidate = np.zeros(3)
        candidate[list(kept)] = np.linalg.solve(gram[np.ix_(kept, kept)], linear[list(kept)])
        if candidate.min() >= 0:
            faces.append((candidate @ gram @ candidate - 2 * linear @ candidate, candidate.tolist()))
    np.testing.assert_allclose(variances, min(faces)[1], atol=1e-12)
    assert variances[0] == 0.0
    assert variances[1:].min() > 0.1
    assert np.asarray(_fixed_point_of_the_match(precision).scale).min() > 0.1
