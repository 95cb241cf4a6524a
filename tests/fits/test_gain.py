"""What a metric gains over none, judged on draws that left the fit."""

import numpy as np
import pytest

from monochord import Gaussian
from monochord.fits._gain import NUM_CHAINS, gain_over_identity
from monochord.fits._score import antithetic_batch
from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.testing import funnel_target, gaussian_target


def test_on_a_gaussian_the_gain_is_the_ratio_of_its_frequencies(ugly_covariance, ugly_mean, rng):
    """κ_L of the precision over that of the identity, dim^¼; within a factor of two from 16 chains (64 seeds: .6–1.5).

    Catches: scores or places that do not belong together, the ratio upside down.
    """
    covariance, mean = ugly_covariance(6, 1e4), ugly_mean(6)
    target, gaussian = gaussian_target(mean, covariance), Gaussian(mean, DenseMetric.from_covariance(covariance))
    points = antithetic_batch(target, gaussian, rng, NUM_CHAINS // 2)
    gain, spent = gain_over_identity(target, gaussian, points, rng)
    precisions = np.linalg.eigvalsh(np.linalg.inv(covariance))
    expected = (np.sum((precisions / precisions[0]) ** 2) / 6.0) ** 0.25
    assert expected / 2.0 < gain.value < 2.0 * expected
    assert all(len(points.x) == NUM_CHAINS for points in spent)


@pytest.mark.parametrize("dim", [10, 60])
def test_on_a_funnel_the_fitted_metric_gains_nothing(dim, rng):
    """Theorem 12's Gaussian. Catches: a comparison on the fit's own draws, which prefer it."""
    scale = np.sqrt(18.0 / (2.0 + 9.0 * (dim - 1)))
    scales = np.r_[scale, np.full(dim - 1, np.exp(-(scale**2) / 4.0))]
    target, gaussian = funnel_target(dim), Gaussian(np.zeros(dim), DiagonalMetric(scales))
    gains = []
    for _ in range(4):
        points = antithetic_batch(target, gaussian, rng, NUM_CHAINS // 2)
        gains.append(gain_over_identity(target, gaussian, points, rng)[0].value)
    assert np.median(gains) < 1.6
