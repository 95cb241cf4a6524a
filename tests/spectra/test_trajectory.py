"""Trajectories of the least predicted cost, against the expectations they are made of and against exact draws."""

import numpy as np
import pytest

from monochord.sampling._kept import _is_stuck
from monochord.sampling._segment import Segment
from monochord.sampling._settings import SamplerSettings
from monochord.spectra import QUARTER_PERIOD, WIDE, best_trajectory, correlations, draws_per_effective


def test_correlations_are_the_means_over_the_lengths():
    """Catches: sinc of another argument (NumPy's has a π in it), the jitter's half for its whole width."""
    omega = np.array([0.3, 1.0, 2.7])
    lengths = 1.4 * (1 + 0.3 * (2 * (np.arange(200_000) + 0.5) / 200_000 - 1))
    phases = np.multiply.outer(lengths, omega)
    linear, square = correlations(omega, 1.4, 0.3)
    np.testing.assert_allclose(linear, np.cos(phases).mean(0), atol=1e-9)
    np.testing.assert_allclose(square, (np.cos(phases) ** 2).mean(0), atol=1e-9)


def test_one_period_for_all_wants_a_quarter_of_it():
    trajectory = best_trajectory(np.ones(50), 0.8)
    assert trajectory.length == pytest.approx(QUARTER_PERIOD) and trajectory.jitter < 0.2


def test_doubt_and_spread_shorten_and_widen():
    """Catches: a doubt that is not used, a length from the slowest direction alone."""
    sure, unsure = best_trajectory(np.ones(5), 0.8), best_trajectory(np.ones(5), 0.8, 0.3)
    assert unsure.jitter > sure.jitter
    spread = best_trajectory(np.geomspace(1, 30, 50), 0.8)
    assert spread.jitter == WIDE and spread.length < 0.7 * QUARTER_PERIOD


def test_it_scales_with_time():
    omega = np.array([1.0, 1.3, 2.0])
    plain, fast = best_trajectory(omega, 0.8), best_trajectory(1e3 * omega, 0.8)
    assert fast.length == pytest.approx(plain.length / 1e3) and fast.jitter == plain.jitter


@pytest.mark.statistical
def test_squares_of_a_whitened_target_mix_better(rng):
    """The exact flow with 20 % of draws refused: draws an effective square are those predicted, and a quarter fewer than with lengths
    of 1 ± .5 quarter periods. 400 × 500 draws: a mean over 200,000 products, errors of 1 % at most; false-fail below 1e-6.
    """

    def measured(length, jitter):
        x, squares = rng.standard_normal(400), []
        for _ in range(500):
            angle = length * (1 + jitter * rng.uniform(-1, 1, 400))
            moved = np.cos(angle) * x + np.sin(angle) * rng.standard_normal(400)
            x = np.where(rng.random(400) < 0.8, moved, x)
            squares.append((x**2 - 1) / np.sqrt(2))
        squares = np.array(squares)
        rho = np.mean(squares[1:] * squares[:-1]) / np.mean(squares**2)
        return (1 + rho) / (1 - rho)

    best = best_trajectory(np.ones(1), 0.8)
    found, wide = measured(*best), measured(QUARTER_PERIOD, WIDE)
    assert found == pytest.approx(draws_per_effective(correlations(np.ones(1), *best)[1], 0.8), rel=0.08)
    assert found < 0.85 * wide


def test_divergences_at_a_wall_are_no_stuck_chain():
    """Catches: steps shortened for trajectories that leave the support, which they do at every step."""

    def settings(has_walls):
        return SamplerSettings(4, 100, "auto", 0.8, 10, is_trusted=False, has_walls=has_walls)

    def segment(acceptance, share):
        diverging = np.zeros((4, 100), bool)
        diverging[:, : int(100 * share)] = True
        zeros = np.zeros((4, 100))
        return Segment(
            np.zeros((4, 100, 1)), np.zeros((4, 100, 1)), zeros, zeros, acceptance * np.ones((4, 100)), zeros, diverging
        )

    assert _is_stuck([segment(0.8, 0.2)], settings(False))
    assert not _is_stuck([segment(0.8, 0.2)], settings(True))
    assert _is_stuck([segment(0.2, 0.2)], settings(True)), "a chain that accepts nothing is stuck behind a wall too"
    assert not _is_stuck([segment(0.8, 0.0)], settings(False))
