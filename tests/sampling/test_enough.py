"""The schedule of looks, and what counts as enough."""

import numpy as np

from monochord.sampling._chains import Segment
from monochord.sampling._enough import FIRST_LOOK, JUDGED, Monitor, slowest

ALL = (slice(0, 4),)


def _segment(x: np.ndarray) -> Segment:
    flat = np.zeros(x.shape[:2])
    return Segment(x, x[:, :, :0], flat, flat, flat, flat, flat)


def test_schedule_is_fixed_and_grows():
    """Catches: looks that depend on how draws are cut into blocks, which would make a run's end depend on the clock."""
    monitor = Monitor(ALL, 400.0)
    looks = [monitor.next_look(0)]
    while looks[-1] < 1000:
        looks.append(monitor.next_look(looks[-1]))
    assert looks[0] == FIRST_LOOK
    assert looks == sorted(set(looks))
    again = Monitor(ALL, 400.0)
    assert [look for done in range(1, looks[-1]) if (look := again.next_look(done - 1)) == done] == looks[:-1]


def test_independent_draws_are_enough_and_drifting_ones_are_not(rng):
    """Catches: R̂ ignored, ESS of the first coordinate only."""
    x = rng.standard_normal((4, 400, 3))
    assert Monitor(ALL, 400.0).look([_segment(x)])
    assert not Monitor(ALL, 2000.0).look([_segment(x)])
    x[:, :, 2] += np.arange(4)[:, None]
    monitor = Monitor(ALL, 400.0)
    assert not monitor.look([_segment(x)])
    assert monitor.standing.coordinate == 2
    assert not monitor.standing.has_mixed


def test_constant_coordinates_do_not_count(rng):
    x = rng.standard_normal((4, 400, 2))
    x[:, :, 1] = 0.3
    assert Monitor(ALL, 400.0).look([_segment(x)])


def test_draws_are_judged_where_they_are_placed(rng):
    """A map's coordinate that drifts is no reason to go on where what is reported does not. Catches: u judged for x."""
    x = rng.standard_normal((4, 400, 2))
    drift = x + np.array([0.0, 1.0]) * np.arange(4)[:, None, None]
    assert Monitor(ALL, 400.0, place=lambda _: x).look([_segment(drift)])
    assert not Monitor(ALL, 400.0).look([_segment(drift)])


def test_of_many_coordinates_the_slowest_are_judged(rng):
    """Also one whose spread alone is slow. Catches: a bad coordinate that is not among those judged."""
    x = rng.standard_normal((4, 300, 700))
    x[:, :, 70] = np.cumsum(rng.standard_normal((4, 300)), axis=1)
    x[:, :, 600] *= np.exp(np.repeat(rng.standard_normal((4, 5)), 60, axis=1))
    chosen = slowest([x], JUDGED)
    assert len(chosen) == JUDGED
    assert {70, 600} <= set(chosen[:])
    monitor = Monitor(ALL, 300.0)
    assert not monitor.look([_segment(x)])
    assert monitor.standing.coordinate == 70
    assert Monitor(ALL, 300.0).look([_segment(rng.standard_normal(x.shape))])


def test_modes_are_judged_apart_and_said_to_be(rng):
    """Catches: separate modes that keep a run going for ever, or that pass for agreement."""
    x = rng.standard_normal((4, 500, 2))
    x[3] += 50.0
    apart = Monitor((slice(0, 3), slice(3, 4)), 400.0)
    assert apart.look([_segment(x)])
    assert apart.standing.is_split
    assert not Monitor(ALL, 400.0).look([_segment(x)])
    x[3] -= 50.0
    together = Monitor((slice(0, 3), slice(3, 4)), 400.0)
    assert together.look([_segment(x)])
    assert not together.standing.is_split
