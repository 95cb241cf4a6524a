"""The rank test: its false-fail rate, its power against the stated defects, and what it refuses."""

import numpy as np
import pytest
from scipy import stats

from monochord.testing import assert_ranks_uniform
from monochord.testing._ranks import orthonormal_polynomials, rank_law

LIMITS = {"must_detect_shift": 0.4, "must_detect_scale": 1.5}


def _fails(ranks, **rates) -> bool:
    try:
        assert_ranks_uniform(ranks, 15, must_detect_shift=3.0, must_detect_scale=9.0, **rates)
    except AssertionError as error:
        return "not uniform" in str(error)
    return False


def _simulated(rng, num, shift=0.0, scale=1.0):
    draws = shift + scale * rng.standard_normal((num, 15))
    return (draws < rng.standard_normal((num, 1))).sum(1)


def test_polynomials_are_orthonormal_under_uniform_ranks():
    """Catches: a missing factor, which would make S no χ²."""
    values = orthonormal_polynomials(15)
    np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-13)
    np.testing.assert_allclose(values.T @ values / 16, np.eye(4), atol=1e-12)


def test_rank_law_agrees_with_simulation(rng):
    """χ² of 200,000 simulated ranks against the law (false-fail rate 10⁻⁶); the law of another spread must fail."""
    ranks = np.bincount(_simulated(rng, 200_000, 0.3, 1.2), minlength=16)
    assert stats.chisquare(ranks, 200_000 * rank_law(15, 0.3, 1.2)).pvalue > 1e-6
    assert stats.chisquare(ranks, 200_000 * rank_law(15, 0.3, 1.25)).pvalue < 1e-6


@pytest.mark.statistical
def test_false_fails_are_as_rare_as_stated(rng):
    """2000 right runs at a rate of 2 %: 40 ± 6.3 fail (five standard errors allowed: fails falsely once in 10⁶)."""
    count = sum(_fails(rng.integers(0, 16, (300, 3)), false_fail=0.02) for _ in range(2000))
    assert 9 <= count <= 72


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (0.0, 1.35), (0.0, 1 / 1.35)])
def test_stated_defects_are_found(shift, scale, rng):
    """Missed once in 1000 by what the test itself computes with 1100 ranks, so 40 of 40 runs find it (false fail 4 %·10⁻¹)."""
    assert sum(_fails(_simulated(rng, 1100, shift, scale)) for _ in range(40)) >= 39


def test_a_weak_test_is_refused(rng):
    """Catches: a pass that says nothing."""
    assert_ranks_uniform(_simulated(rng, 1000), 15, **LIMITS)
    with pytest.raises(AssertionError, match="too weak"):
        assert_ranks_uniform(_simulated(rng, 100), 15, **LIMITS)


def test_impossible_ranks_fail():
    """Catches: ranks counted from one, no ranks at all."""
    for ranks in (np.full(1000, 16), np.full(1000, -1), np.zeros((0,), int)):
        with pytest.raises(AssertionError, match="not uniform"):
            assert_ranks_uniform(ranks, 15, **LIMITS)
