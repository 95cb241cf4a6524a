"""Bridge sampling against closed forms, and its stated error against what it misses them by."""

import math

import numpy as np
import pytest

import monochord as mc
from monochord.metrics import identity_metric
from monochord.modes import bridge, bridge_ratio, moments_gaussian

REPEATS = 200


def _z_scores(rng, draw, log_density, truth, metric, **options):
    found = [
        bridge(rng, log_density, x, log_density(x), metric, options.get("proposals", 300))
        for x in (draw(rng) for _ in range(REPEATS))
    ]
    return np.array([(one.log_integral - truth) / one.standard_error for one in found]), found


def _root_mean_square(z):
    return float(np.sqrt(np.mean(z**2)))


def test_the_error_is_honest_on_a_gaussian(rng, ugly_scale):
    """Six dimensions, the metric 1.5 times too wide; truth log 7 in closed form. 200 repeats: the root mean square of z has error .05, so that
    the band of ±.2 fails falsely in 1 of 10⁴ runs, and finds errors that are off by 30 % in 39 of 40 runs.
    Catches: errors of both halves taken for independent (z of 1.27 then), draws counted for proposals."""
    mean, scale = np.linspace(-3.0, 8.0, 6), ugly_scale(6)
    truth = mc.Gaussian(mean, mc.DiagonalMetric(scale))
    z, found = _z_scores(
        rng, lambda r: truth.sample(r, 600).reshape(4, 150, 6), lambda x: np.asarray(truth.log_prob(x)) + math.log(7.0),
        math.log(7.0), mc.DiagonalMetric(1.5 * scale),
    )  # fmt: skip
    assert 0.8 < _root_mean_square(z) < 1.2
    assert found[0].num_proposals == 300 and found[0].standard_error < 0.03


def test_the_error_is_honest_on_a_skewed_density(rng):
    """The log of a Gamma(2) variable: ∫exp(2x − eˣ) = Γ(2) = 1; 5 times that here. Same rates as on a Gaussian.
    Catches: a formula that holds only where the proposal fits."""
    z, _ = _z_scores(
        rng, lambda r: np.log(r.gamma(2.0, size=(4, 150, 1))), lambda x: (2.0 * x - np.exp(x))[..., 0] + math.log(5.0),
        math.log(5.0), mc.DiagonalMetric(np.array([0.6])),
    )  # fmt: skip
    assert 0.8 < _root_mean_square(z) < 1.2
    assert abs(z.mean()) < 4.0 / math.sqrt(REPEATS)  # false-fail 6e-5: no bias beyond a quarter of the error


def test_the_error_counts_what_chains_repeat(rng):
    """Chains that stay for 5 draws each time are worth a fifth. Catches: draws counted as if they were independent (z of 1.5 and more)."""
    unit = mc.Gaussian(np.zeros(6), identity_metric(6))
    z, _ = _z_scores(
        rng, lambda r: np.repeat(unit.sample(r, 480).reshape(4, 120, 6), 5, axis=1), lambda x: np.asarray(unit.log_prob(x)),
        0.0, identity_metric(6),
    )  # fmt: skip
    assert 0.75 < _root_mean_square(z) < 1.25


def test_densities_that_are_proportional_need_no_draws(rng):
    """Catches: a fixed point that is not the ratio."""
    log_ratio, *variances = bridge_ratio(np.full((2, 5), 2.5), np.full(7, 2.5), 10)
    assert log_ratio == pytest.approx(2.5, abs=1e-9) and variances == [0.0, 0.0]


def test_walls_and_nonsense(rng):
    """Density zero at half of the proposals halves the integral. Catches: −∞ dropped in place of counted, and numbers made of NaN."""
    at_proposals = np.where(np.arange(4000) % 2, 0.0, -np.inf)
    assert bridge_ratio(np.zeros((2, 500)), at_proposals, 1000).log_ratio == pytest.approx(math.log(0.5), abs=0.02)
    for draws, proposals in ((np.full((2, 5), np.nan), np.zeros(4)), (np.zeros((2, 5)), np.full(4, -np.inf))):
        assert math.isinf(bridge_ratio(draws, proposals, 5).of_draws)


def test_the_proposal_needs_no_more_draws_than_coordinates(rng, ugly_scale):
    """10 draws in 40 dimensions leave the metric's shape; above the dense limit only scales move. Catches: singular covariances."""
    metric = mc.DiagonalMetric(ugly_scale(40))
    few = moments_gaussian(mc.Gaussian(np.zeros(40), metric).sample(rng, 10).reshape(2, 5, 40), metric)
    assert few.metric.diagonal() == pytest.approx(np.asarray(metric.diagonal()), rel=0.6)
    wide = mc.DiagonalMetric(ugly_scale(300))
    x = 2.0 * mc.Gaussian(np.zeros(300), wide).sample(rng, 4000).reshape(4, 1000, 300)
    found = np.asarray(moments_gaussian(x, wide).metric.diagonal()) / np.asarray(wide.diagonal())
    assert 3.0 < found.mean() < 4.1
