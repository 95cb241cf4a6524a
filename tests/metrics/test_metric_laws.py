"""The laws of `AbstractMetric` on each metric of ours."""

import numpy as np
import pytest

from monochord.metrics import DenseMetric, DiagonalMetric, LowRank, LowRankMetric, identity_metric
from monochord.testing import MetricLaws


def _scale(dim):
    return np.exp(np.linspace(-3.0, 3.0, dim))


def _basis(dim, rank):
    return np.linalg.qr(np.random.default_rng(rank).standard_normal((dim, rank)))[0]


class TestDiagonalMetricLaws(MetricLaws):
    def metrics(self):
        return [DiagonalMetric(_scale(5)), DiagonalMetric(np.array([0.37]))]


class TestDenseMetricLaws(MetricLaws):
    def metrics(self):
        draws = np.random.default_rng(1).standard_normal((11, 6)) * _scale(6)
        return [DenseMetric.from_covariance(draws.T @ draws / 11)]


class TestLowRankMetricLaws(MetricLaws):
    def metrics(self):
        return [
            LowRankMetric(_scale(7), _basis(7, 3), np.array([0.02, 7.0, 90.0])),  # slow and fast directions
            LowRankMetric(_scale(4), _basis(4, 4), np.array([0.3, 0.5, 2.0, 40.0])),  # rank = dim
        ]


def test_dense_metric_survives_scales_from_1e_minus_100_to_1e100(ugly_covariance):
    """Catches: a factorisation of Σ itself, which under- or overflows where that of the correlation does not."""
    stretch = np.array([1e-100, 3e-7, 2.0, 1e100])
    covariance = ugly_covariance(4) * np.outer(stretch, stretch)
    metric = DenseMetric.from_covariance(covariance)
    z = np.array([0.3, -1.0, 2.0, 0.7])
    np.testing.assert_allclose(metric.whiten(metric.unwhiten(z)), z, rtol=1e-10)


def test_identity_metric_leaves_vectors_alone():
    """Catches: a default scale other than one."""
    x = np.array([0.3, -4.0, 1e3])
    np.testing.assert_array_equal(identity_metric(3).unwhiten(x), x)
    assert identity_metric(3).log_det() == 0.0


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_scales_that_are_no_scales_are_refused(bad):
    """Catches: a zero or NaN that would spread silently; the message names value and place."""
    with pytest.raises(ValueError, match=rf"entry {bad} at index 1"):
        DiagonalMetric(np.array([0.5, bad, 2.0]))
    with pytest.raises(ValueError, match="eigenvalues"):
        LowRankMetric(_scale(4), _basis(4, 2), np.array([3.0, bad]))


def test_bases_that_break_the_inverse_are_refused():
    """Catches: columns that are not orthonormal, more columns than rows, shapes that disagree."""
    with pytest.raises(ValueError, match="not orthonormal"):
        LowRankMetric(_scale(4), 1.01 * _basis(4, 2), np.array([3.0, 0.2]))
    with pytest.raises(ValueError, match="At most `dim` orthonormal"):
        LowRankMetric(_scale(2), np.ones((2, 3)), np.array([3.0, 0.2, 5.0]))
    with pytest.raises(ValueError, match=r"shape \(dim, rank\)"):
        LowRankMetric(_scale(4), _basis(4, 2), np.array([3.0, 0.2, 5.0]))
    with pytest.raises(ValueError, match="rank of 1 or more"):
        LowRank(rank=0)


def test_matrices_that_are_no_covariances_are_refused():
    """Catches: an asymmetric, indefinite, non-square, non-finite matrix taken by its lower triangle."""
    good = np.array([[2.0, 0.3], [0.3, 5.0]])
    for matrix, words in [
        (good + np.array([[0.0, 1e-3], [0.0, 0.0]]), "asymmetric"),
        (np.array([[2.0, 9.0], [9.0, 5.0]]), "not positive definite"),
        (np.array([[2.0, np.nan], [np.nan, 5.0]]), "non-finite"),
        (np.array([[2.0, 0.0], [0.0, 0.0]]), "variance of zero"),
    ]:
        with pytest.raises(ValueError, match=words):
            DenseMetric.from_covariance(matrix)
    with pytest.raises((ValueError, TypeError)):  # TypeError comes from the shape hook, which users do not have
        DenseMetric.from_covariance(good[:1])
