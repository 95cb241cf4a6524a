"""When a fit goes on and when it rests."""

import dataclasses

import numpy as np

from monochord import Estimate, Gaussian
from monochord.fits import Scored
from monochord.fits._rules import has_come_to_rest, is_refused, merit
from monochord.metrics import DiagonalMetric


def _scores(elbos, residuals, error=0.05):
    gaussian = Gaussian(np.zeros(10), DiagonalMetric(np.ones(10)))
    return tuple(
        Scored(gaussian, Estimate(float(e), error, 16), Estimate(float(r), 0.01, 16))
        for e, r in zip(elbos, residuals, strict=True)
    )


def test_a_flat_small_residual_is_rest_and_a_large_one_is_not_yet():
    """Catches: a fit that stops on a residual that is only flat, and one that then never stops."""
    assert has_come_to_rest(_scores(np.zeros(8), np.full(8, 0.1)), window=4)
    assert not has_come_to_rest(_scores(np.zeros(8), np.full(8, 3.0)), window=4)
    assert has_come_to_rest(_scores(np.zeros(16), np.full(16, 3.0)), window=4)


def test_one_bad_batch_hides_no_progress():
    """The ELBO climbs by half a nat a step, with one rejected jump among the last. Catches: means in place of medians."""
    elbos = 0.5 * np.arange(8.0)
    elbos[5] = -40.0
    residuals = np.full(8, 0.1)
    residuals[5] = 37.0
    assert not has_come_to_rest(_scores(elbos, residuals), window=4)


def test_progress_in_either_measure_goes_on_and_too_little_history_too():
    """Catches: one of both measures ignored."""
    assert not has_come_to_rest(_scores(np.arange(8.0), np.full(8, 0.1)), window=4)
    assert not has_come_to_rest(_scores(np.zeros(8), np.geomspace(0.9, 0.05, 8)), window=4)
    assert not has_come_to_rest(_scores(np.zeros(7), np.full(7, 0.1)), window=4)


def test_a_large_flat_residual_with_a_creeping_elbo_is_refused():
    """Ten dimensions. Catches: one of the three conditions ignored, a stop before there is history."""
    creeping, climbing = 0.05 * np.arange(16.0), 2.0 * np.arange(16.0)
    assert is_refused(_scores(creeping, np.full(16, 0.8)))
    assert not is_refused(_scores(creeping, np.full(16, 0.3)))
    assert not is_refused(_scores(climbing, np.full(16, 0.8)))
    assert not is_refused(_scores(creeping, np.geomspace(20.0, 0.6, 16)))
    assert not is_refused(_scores(creeping[:15], np.full(15, 0.8)))


def test_merit_weighs_elbo_and_residual_and_their_errors():
    """A quarter of .1 · 10 dimensions is .25 nats. Catches: the residual's mean for its sum, errors that count as gains."""
    low, high = _scores([0.0, 0.3], [0.1, 0.2])
    assert merit(high) > merit(low)
    assert merit(_scores([0.2], [0.2])[0]) < merit(low)
    assert merit(_scores([0.0], [0.1], error=0.5)[0]) < merit(low)
    bad = dataclasses.replace(high, worst=3.0)
    assert merit(bad) < merit(low)
