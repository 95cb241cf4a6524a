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


def _look(law, wall=-np.inf):
    def look(places):
        with np.errstate(all="ignore"):
            return law(places), places > wall

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


def test_a_density_that_goes_on_beyond_a_wall_is_none():
    """At 11.5 nats, and not at 18; one without an end is none either, nor one that is finite nowhere."""
    standard = LAWS["standard"]
    assert seen_along(_look(standard, wall=-4.8), 0.0, 4.0) is None
    assert seen_along(_look(standard, wall=-6.0), 0.0, 4.0) is not None
    assert seen_along(_look(np.zeros_like), 0.0, 4.0) is None
    assert seen_along(_look(lambda s: s * np.nan), 0.0, 4.0) is None
