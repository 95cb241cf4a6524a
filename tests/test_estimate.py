"""`Estimate` prints honestly and `mean_estimate` has the right error."""

import math

import numpy as np
import pytest

from monochord.estimate import Estimate, mean_estimate


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(-3.1415, 0.0512, 9), "-3.14 ± 0.05"),
        (Estimate(1234.5678, 23.0, 9), "1235 ± 23"),
        (Estimate(0.000123456, 0.0000021, 9), "0.0001235 ± 0.0000021"),
        (Estimate(1202526208.0, 295268454.0, 9), "1.2e+09 ± 3e+08"),
        (Estimate(2.5, 0.0, 9), "2.5"),
        (Estimate(2.5, math.nan, 1), "2.5"),
        (Estimate(math.inf, 1.0, 9), "inf"),
        (Estimate(math.nan, 1.0, 9), "nan"),
    ],
)
def test_prints_as_many_digits_as_the_error_allows(estimate, text):
    """Catches: digits beyond the error, a crash on zero, infinite or missing errors. Two digits of the error,
    except for the README's example, whose error ends in a one-digit 5."""
    shown = str(estimate)
    if text == "-3.14 ± 0.05":
        assert shown in (text, "-3.142 ± 0.051")
    else:
        assert shown == text


def test_mean_and_error_of_known_values():
    """Catches: ddof 0, a missing √n."""
    estimate = mean_estimate([1.0, 2.0, 4.0, 9.0])
    assert estimate.value == 4.0
    assert estimate.standard_error == pytest.approx(math.sqrt((9 + 4 + 0 + 25) / 3 / 4))
    assert estimate.num_draws == 4


def test_one_or_no_value_has_no_error():
    """Catches: an error of 0 where nothing is known, a warning or crash on nothing."""
    assert math.isnan(mean_estimate([2.5]).standard_error)
    assert math.isnan(mean_estimate([]).value) and mean_estimate([]).num_draws == 0


def test_non_finite_values_are_not_hidden():
    """Catches: nanmean. A density that is zero where draws fall has no finite mean."""
    assert mean_estimate([1.0, -np.inf, 3.0]).value == -math.inf
    assert math.isnan(mean_estimate([1.0, np.nan, 3.0]).value)


@pytest.mark.statistical
def test_the_standard_error_is_the_spread_of_the_estimate(rng):
    """Catches: an error too small by a factor. 2000 estimates from 50 exponentials: sd and mean error agree to 10 %."""
    estimates = [mean_estimate(row) for row in rng.exponential(3.0, (2000, 50))]
    spread = np.std([e.value for e in estimates], ddof=1)
    stated = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
    assert stated == pytest.approx(spread, rel=0.1)
