"""Frequencies, condition numbers and diagonals against closed forms and scipy."""

import numpy as np
import pytest
import scipy.linalg

from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric, identity_metric
from monochord.spectra import (
    best_diagonal,
    condition_number,
    frequencies_against,
    langmore_number,
    squared_frequencies,
)


@pytest.fixture
def metrics(ugly_covariance, ugly_scale):
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((6, 2)))[0]
    return [
        DiagonalMetric(ugly_scale(6)),
        DenseMetric.from_covariance(ugly_covariance(6)),
        LowRankMetric(ugly_scale(6), basis, np.array([0.1, 30.0])),
    ]


def test_squared_frequencies_are_generalised_eigenvalues(metrics, rng):
    """H v = ω² M v by scipy. Catches: M for M⁻¹, whitening by L⁻¹ instead of Lᵀ, a lost order."""
    root = rng.standard_normal((6, 6))
    hessian = root @ root.T + np.diag(np.geomspace(0.1, 10, 6))
    for metric in metrics:
        mass = np.linalg.inv(np.asarray(metric.dense()))
        expected = scipy.linalg.eigh(hessian, (mass + mass.T) / 2, eigvals_only=True)
        np.testing.assert_allclose(squared_frequencies(metric, hessian), expected, rtol=1e-6)


def test_the_true_covariance_makes_all_frequencies_one(metrics):
    """The point of the library. Catches: everything above at once."""
    for metric in metrics:
        precision = np.asarray(metric.solve(np.eye(6)))
        np.testing.assert_allclose(squared_frequencies(metric, precision), 1.0, rtol=1e-8)


def test_indefinite_hessians_keep_their_sign():
    """Catches: clipping, or a square root of a negative number, that would hide a saddle."""
    squared = squared_frequencies(DiagonalMetric(np.array([0.5, 2.0])), np.diag([-3.0, 5.0]))
    np.testing.assert_allclose(squared, [-0.75, 20.0])
    assert condition_number(squared) == np.inf and langmore_number(squared) == np.inf


def test_numbers_of_a_spectrum_by_hand():
    """κ of (1, 4, 9) is 9, κ_L = (1 + 16 + 81)^¼. Catches: ω for ω², a mean for a sum."""
    squared = np.array([1.0, 4.0, 9.0]) * 0.37
    assert condition_number(squared) == pytest.approx(9.0)
    assert langmore_number(squared) == pytest.approx(98.0**0.25)


def test_frequencies_against_a_fitted_gaussian(metrics, monkeypatch):
    """Catches: the two arguments exchanged; 1 for the metric itself; above the limit the diagonals alone."""
    from monochord.spectra import _frequencies

    diagonal, dense, _ = metrics
    expected = np.sqrt(scipy.linalg.eigvalsh(np.linalg.inv(dense.dense()) * np.outer(diagonal.scale, diagonal.scale)))
    np.testing.assert_allclose(frequencies_against(diagonal, dense), expected, rtol=1e-7)
    np.testing.assert_array_equal(frequencies_against(dense, dense), np.ones(6))
    monkeypatch.setattr(_frequencies, "DENSE_LIMIT", 5)
    ratio = diagonal.scale / np.sqrt(np.diag(dense.dense()))
    np.testing.assert_allclose(frequencies_against(diagonal, dense), ratio, rtol=1e-10)


def test_diagonals_of_an_autoregression():
    """AR(1), ρ = .95, d = 50: no diagonal metric helps."""
    covariance = 0.95 ** np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    precision = np.linalg.inv(covariance)
    fisher = best_diagonal(DenseMetric.from_covariance(covariance))
    jacobi = DiagonalMetric(1 / np.sqrt(np.diag(precision)))
    for metric, kappa, langmore in (
        (identity_metric(50), 989.4460, 65.0655), (jacobi, 981.0308, 65.2827), (fisher, 984.2348, 65.0864),
    ):  # fmt: skip
        squared = squared_frequencies(metric, precision)
        assert condition_number(squared) == pytest.approx(kappa, abs=6e-5)
        assert langmore_number(squared) == pytest.approx(langmore, abs=6e-5)
    symmetric = squared_frequencies(jacobi, precision)
    np.testing.assert_allclose(symmetric + symmetric[::-1], 2.0, atol=1e-12)


def test_a_diagonal_can_hurt():
    """κ = 10 becomes 11.133673 (Fisher), 7 + 2√6 (Jacobi, and Stan's on the inverse problem)."""
    matrix = np.array([[2.0, -2.0, -2.0], [-2.0, 5.0, 4.0], [-2.0, 4.0, 5.0]])
    inverse = np.linalg.inv(matrix)

    def kappa(metric, hessian):
        return condition_number(squared_frequencies(metric, hessian))

    assert kappa(identity_metric(3), matrix) == pytest.approx(10.0, rel=1e-10)
    fisher = best_diagonal(DenseMetric.from_covariance((inverse + inverse.T) / 2))
    assert kappa(fisher, matrix) == pytest.approx(11.133673, abs=1e-6)
    assert kappa(DiagonalMetric(1 / np.sqrt(np.diag(matrix))), matrix) == pytest.approx(7 + 2 * np.sqrt(6), rel=1e-10)
    assert kappa(DiagonalMetric(np.sqrt(np.diag(matrix))), inverse) == pytest.approx(7 + 2 * np.sqrt(6), rel=1e-10)


def test_best_diagonal_in_two_dimensions_and_under_equal_correlation(ugly_scale):
    """(1 + |r|)/(1 − |r|) in 2-d, 181 for 20 coordinates of correlation .9, whatever their scales."""
    for dim, correlation, kappa in ((2, -0.7, 1.7 / 0.3), (20, 0.9, 181.0)):
        matrix = np.where(np.eye(dim) == 1, 1.0, correlation) * np.outer(ugly_scale(dim), ugly_scale(dim))
        metric = best_diagonal(DenseMetric.from_covariance(matrix))
        assert condition_number(squared_frequencies(metric, np.linalg.inv(matrix))) == pytest.approx(kappa, rel=1e-6)


def test_best_diagonal_of_a_diagonal_is_itself_in_all_blocks():
    """Catches: rows beyond the first block of 256 that are lost."""
    metric = DiagonalMetric(np.geomspace(0.01, 100.0, 300))
    np.testing.assert_allclose(best_diagonal(metric).scale, metric.scale, rtol=1e-12)
