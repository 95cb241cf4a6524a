"""Laws of the geodesic between metrics, and the round trip through arrays."""

import numpy as np
import pytest

from monochord.metrics import (
    DenseMetric,
    DiagonalMetric,
    LowRankMetric,
    geodesic,
    metric_arrays,
    metric_from_arrays,
)


@pytest.fixture
def pair(ugly_covariance, ugly_scale):
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
    other = (turned * np.geomspace(0.1, 30.0, 4)) @ turned.T
    return DenseMetric.from_covariance(ugly_covariance(4)), DenseMetric.from_covariance((other + other.T) / 2)


def test_geodesic_ends_at_its_ends(pair):
    """Catches: the ends exchanged, a power of the wrong factor."""
    start, end = pair
    np.testing.assert_allclose(geodesic(start, end, 0.0).dense(), start.dense(), rtol=1e-10)
    np.testing.assert_allclose(geodesic(start, end, 1.0).dense(), end.dense(), rtol=1e-9)


def test_midpoint_is_the_geometric_mean(pair):
    """G = A # B solves G A⁻¹ G = B and does not depend on the order. Catches: an arithmetic or log-Euclidean mean."""
    start, end = pair
    middle = np.asarray(geodesic(start, end, 0.5).dense())
    np.testing.assert_allclose(start.solve(middle) @ middle, end.dense(), rtol=1e-8)
    np.testing.assert_allclose(geodesic(end, start, 0.5).dense(), middle, rtol=1e-8)


def test_geodesic_follows_a_change_of_units(pair):
    """T(A #ₜ B)Tᵀ = TATᵀ #ₜ TBTᵀ. Catches: shrinkage in the user's units, which would depend on them."""
    start, end = pair
    turn = np.random.default_rng(5).standard_normal((4, 4)) + 2.0 * np.eye(4)

    def moved(metric):
        covariance = turn @ metric.dense() @ turn.T
        return DenseMetric.from_covariance((covariance + covariance.T) / 2)

    np.testing.assert_allclose(
        geodesic(moved(start), moved(end), 0.3).dense(), moved(geodesic(start, end, 0.3)).dense(), rtol=1e-8
    )


def test_diagonals_stay_diagonal_and_low_rank_has_no_geodesic(ugly_scale):
    """Catches: a dense matrix made of two diagonals; a low-rank metric silently made dense."""
    middle = geodesic(DiagonalMetric(ugly_scale(3)), DiagonalMetric(np.array([2.0, 0.5, 7.0])), 0.25)
    assert isinstance(middle, DiagonalMetric)
    np.testing.assert_allclose(middle.scale, ugly_scale(3) ** 0.75 * np.array([2.0, 0.5, 7.0]) ** 0.25)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 1)))[0]
    low_rank = LowRankMetric(ugly_scale(3), basis, np.array([4.0]))
    assert geodesic(low_rank, low_rank, 0.5) is None


def test_round_trip_through_arrays_is_exact(pair, ugly_scale):
    """Bit for bit. Catches: a factor recomputed on the way, fields in another order."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 2)))[0]
    for metric in (pair[0], DiagonalMetric(ugly_scale(5)), LowRankMetric(ugly_scale(5), basis, np.array([0.1, 9.0]))):
        kind, arrays = metric_arrays(metric)
        again = metric_from_arrays(kind, arrays)
        z = np.linspace(-1.0, 2.0, metric.dim)
        assert type(again) is type(metric)
        np.testing.assert_array_equal(again.unwhiten(z), metric.unwhiten(z))
        np.testing.assert_array_equal(again.whiten(z), metric.whiten(z))


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="must be one of diagonal, dense, low_rank"):
        metric_from_arrays("banded", {})
