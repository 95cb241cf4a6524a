"""Batched evaluation: one compiled shape, nothing lost, Hessians of the right sign."""

import numpy as np
import pytest

from monochord import timing
from monochord.targets import Evaluations, evaluate, hessians, idle_lanes, join
from monochord.testing import gaussian_target


@pytest.fixture
def target(ugly_covariance, ugly_mean):
    return gaussian_target(ugly_mean(3), ugly_covariance(3))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 65, 131])
def test_every_point_is_evaluated_in_order(count, target, rng, ugly_covariance, ugly_mean):
    """Catches: a group of lanes or a part of 64 that is dropped, doubled or reordered."""
    x = rng.standard_normal((count, 3))
    points = evaluate(target, x)
    expected = -np.linalg.solve(ugly_covariance(3), (x - ugly_mean(3)).T).T
    np.testing.assert_array_equal(points.x, x)
    assert points.log_density.shape == (count,)
    np.testing.assert_allclose(points.score, expected, rtol=1e-8)
    np.testing.assert_allclose(points.log_density, 0.5 * np.sum((x - ugly_mean(3)) * expected, axis=1), rtol=1e-8)


def test_any_number_of_points_uses_one_compiled_function(target):
    """Catches: a shape that depends on the batch."""
    evaluate(target, np.full((2, 3), 0.5))
    timing.listen()
    before = timing.num_compiled()
    for count in (1, 30, 100):
        evaluate(target, np.full((count, 3), 0.5))
    assert timing.num_compiled() == before


def test_idle_lanes_complete_a_group_of_eight():
    """Catches: off by one at full groups."""
    assert [idle_lanes(n) for n in (1, 7, 8, 9, 64)] == [7, 1, 0, 7, 0]


def test_finite_needs_both_value_and_score():
    """Catches: a point whose gradient alone is NaN, kept."""
    points = Evaluations(
        np.zeros((3, 2)), np.array([1.0, -np.inf, 2.0]), np.array([[1.0, 2.0], [0.5, 0.5], [np.nan, 1.0]])
    )
    assert points.finite().tolist() == [True, False, False]
    assert len(join([points, points.take(points.finite())]).x) == 4


def test_hessians_are_those_of_the_potential(target, ugly_covariance):
    """Σ⁻¹, positive. Catches: the Hessian of the log density, a sign."""
    found = hessians(target, np.array([[0.5, -1.0, 2.0], [3.0, 0.1, 0.2]]))
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found[1] @ ugly_covariance(3), np.eye(3), atol=1e-8)
