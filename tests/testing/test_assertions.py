"""The calibrated assertion itself: its two error rates, and that it can fail."""

import numpy as np
import pytest

from monochord.testing import assert_mean_close, assert_moments_close


def test_close_estimates_pass_and_wrong_ones_fail():
    """Catches: an assertion that cannot fail."""
    assert_mean_close(1.0, 0.01, 1.02, must_detect=0.1)
    with pytest.raises(AssertionError, match="Estimate differs.*entry 1.*expected 3"):
        assert_mean_close([1.0, 2.9], 0.01, [1.02, 3.0], must_detect=0.5)


def test_weak_tests_are_refused_with_the_number_of_samples_needed(rng):
    """(4.89 + 3.09) · 0.05 > 0.1: 15.9 times more samples. Catches: a test that passes because it sees nothing."""
    with pytest.raises(AssertionError, match=r"Test too weak: an error of 0.1 .* draw about 15.9x more samples"):
        assert_mean_close(1.0, 0.05, 1.0, must_detect=0.1)
    assert_mean_close(1.0, 0.05 / np.sqrt(15.95), 1.0, must_detect=0.1)
    with pytest.raises(AssertionError, match="no number of samples mends that"):
        assert_mean_close(1.0, 0.05, 1.0, expected_error=0.05, must_detect=0.1)


@pytest.mark.parametrize("arguments", [(np.nan, 0.01, 1.0), (1.0, np.nan, 1.0), (1.0, 0.01, np.nan), ([], [], [])])
def test_nan_and_nothing_fail(arguments):
    """Catches: comparisons that NaN slips through, an empty array that passes."""
    with pytest.raises(AssertionError):
        assert_mean_close(*arguments, must_detect=10.0)


def test_expected_error_widens_the_band():
    """Catches: the reference's own error ignored, or added instead of joined in squares."""
    assert_mean_close(1.0, 0.03, 1.23, expected_error=0.04, must_detect=1.0)  # 4.6 joint errors
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(1.0, 0.03, 1.27, expected_error=0.04, must_detect=1.0)  # 5.4


def test_both_error_rates_are_as_stated(rng):
    """20,000 trials at rates of 5 % and 10 %, at the power condition's edge. Catches: one-sided quantiles, exchanged rates."""
    rates = {"false_fail": 0.05, "false_pass": 0.1}
    must_detect = 1.959964 + 1.281552

    def share_failing(shift):
        failed = 0
        for draw in shift + rng.standard_normal(4000):
            try:
                assert_mean_close(draw, 1.0, 0.0, must_detect=must_detect + 1e-6, **rates)
            except AssertionError:
                failed += 1
        return failed / 4000

    assert share_failing(0.0) == pytest.approx(0.05, abs=0.02)
    assert share_failing(must_detect) == pytest.approx(0.9, abs=0.03)
    with pytest.raises(AssertionError, match="too weak"):
        assert_mean_close(0.0, 1.0, 0.0, must_detect=must_detect - 1e-3, **rates)


def test_moments_see_a_wrong_mean_scale_and_correlation(rng, ugly_covariance, ugly_mean):
    """Catches: a moment that is not compared."""
    mean, covariance = ugly_mean(3), ugly_covariance(3)
    z = rng.standard_normal((400, 50, 3))
    root = np.linalg.cholesky(covariance)
    limits = {"must_detect": 0.1, "must_detect_square": 0.1}
    assert_moments_close(mean + z @ root.T, mean, covariance, **limits)
    slanted = z + 0.15 * np.roll(z, 1, axis=-1)
    for wrong in (z + 0.1, 1.07 * z, slanted):
        with pytest.raises(AssertionError, match="differs"):
            assert_moments_close(mean + wrong @ root.T, mean, covariance, **limits)


def test_error_rates_that_are_no_rates_are_refused():
    """Catches: false_pass=0 accepted, which no test can reach."""
    with pytest.raises(ValueError, match="false_pass"):
        assert_mean_close(1.0, 0.1, 1.0, must_detect=1.0, false_pass=0.0)
