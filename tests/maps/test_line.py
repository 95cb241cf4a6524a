"""A density along a line is seen at its own width, and to its ends."""

import numpy as np
import pytest

from monochord.mapping import _line as line
from monochord.mapping._line import moments, seen_along

LAWS = {
    "standard": lambda s: -0.5 * s**2,
    "far off and narrow": lambda s: -0.5 * ((s - 3.3) / 0.003) ** 2,
    "wide": lambda s: -0.5 * ((s + 20.0) / 30.0) ** 2,
    "one tail exponential": lambda s: s - np.exp(3.0 * s),
    "one tail long, the other a wall": lambda s: s - np.exp(30.0 * s),
    "not finite on one side": lambda s: np.where(s < -1.0, np.nan, -np.abs(s)),
}


def _look(law, wall=-np.inf, side=1.0, shift=0.0):
    def look(places):
        with np.errstate(all="ignore"):
            return law(places), side * places - shift > wall

    return look


@pytest.mark.parametrize("law", LAWS)
def test_a_density_is_seen_at_its_own_width(law):
    """Mean and standard deviation against a fine grid. Catches: a loop that looks at one width for ever, or ends on one that sees a single place."""
    look = _look(LAWS[law])
    places, weight = seen_along(look, 0.0, 4.0)
    mean, deviation = moments(places, weight)
    fine = np.linspace(-250.0, 150.0, 4_000_001)
    exact, width = moments(fine, np.exp(np.nan_to_num(look(fine)[0], nan=-np.inf)))
    assert abs(mean - exact) < 0.2 * width and deviation == pytest.approx(width, rel=0.15)
    assert np.sum(weight > 0.1) >= line.FEWEST_PLACES


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3, 1.7])
def test_a_density_that_goes_on_beyond_a_wall_is_none(shift):
    """At 8.8 and 9.7 nats, and not at 12.5 or 18. Catches: a wall that is only looked for on one side, or where the first look sees it."""
    for wall, is_seen in ((-4.2, False), (-4.4, False), (-5.0, True), (-6.0, True)):
        for side in (1.0, -1.0):
            look = _look(lambda s, side=side: LAWS["standard"](side * s - shift), wall, side, shift)
            assert (seen_along(look, 0.0, 4.0) is not None) == is_seen, (wall, side)


def test_a_peak_on_a_wide_shoulder_is_no_reason_to_give_up():
    """Four nats above it, .01 wide: no look of equal places sees both. Catches: a look that repeats itself, taken for none."""
    look = _look(lambda s: np.logaddexp(-0.5 * (s / 0.01) ** 2, -4.0 - 0.5 * s**2))
    places, weight = seen_along(look, 0.0, 4.0)
    assert np.max(weight) == 1.0 and 0.2 < moments(places, weight)[1] < 1.0


def test_a_density_without_an_end_is_none():
    assert seen_along(_look(np.zeros_like), 0.0, 4.0) is None
    assert seen_along(_look(lambda s: s * np.nan), 0.0, 4.0) is None


def test_a_wall_between_two_places_is_looked_at_again():
    """First places .8 apart, the density two nats short at the last before the wall."""
    assert seen_along(_look(LAWS["standard"], wall=-4.9), 0.1, 8.0) is not None
