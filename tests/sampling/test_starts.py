"""Starts of the chains: distinct, finite, and where the posterior is."""

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric
from monochord.sampling import box_starts, resampled, shared_out
from monochord.targets import evaluate
from monochord.testing import gaussian_target


def _known(ugly_covariance, ugly_mean, rng, shift):
    """Draws of a Gaussian that sits `shift` deviations beside its target."""
    covariance, mean = ugly_covariance(3), ugly_mean(3)
    metric = DenseMetric.from_covariance(covariance)
    target = gaussian_target(mean, covariance)
    fit = Gaussian(mean + metric.unwhiten(np.array([shift, 0.0, 0.0])), metric)
    return target, fit, evaluate(target, fit.sample(rng, 4000))


def test_starts_are_distinct_and_finite(ugly_covariance, ugly_mean, rng):
    """Catches: sampling with replacement, points of zero density among the starts."""
    _, fit, known = _known(ugly_covariance, ugly_mean, rng, 0.3)
    known.log_density[::2] = -np.inf
    places = resampled(fit, known, 0.1, rng, 50)
    assert len(set(places)) == 50
    assert np.all(places % 2 == 1)


def test_importance_moves_starts_into_the_posterior(ugly_covariance, ugly_mean, rng):
    """1,000 of 4,000 draws of a fit 0.7 sd off: their mean lies within .35 sd of the posterior's, where evenly chosen ones
    lie .7 off; standard errors are .03, so either fails by chance less than once in 10⁹. Catches: weights of the wrong
    sign, weights used although k̂ forbids it."""
    target, fit, known = _known(ugly_covariance, ugly_mean, rng, 0.7)
    posterior = ugly_mean(3)

    def distance(places):
        return abs(float(fit.metric.whiten(known.x[places].mean(0) - posterior)[0]))

    assert distance(resampled(fit, known, 0.2, rng, 1000)) < 0.35
    assert distance(resampled(fit, known, 0.9, rng, 1000)) > 0.5
    assert distance(resampled(fit, known, None, rng, 1000)) > 0.5


def test_fewer_finite_draws_than_chains_are_all_returned(ugly_covariance, ugly_mean, rng):
    _, fit, known = _known(ugly_covariance, ugly_mean, rng, 0.0)
    known.log_density[3:] = np.nan
    assert sorted(resampled(fit, known, 0.1, rng, 8)) == [0, 1, 2]


def test_starts_without_a_fit_lie_in_the_box(ugly_covariance, ugly_mean, rng):
    target = gaussian_target(ugly_mean(3), ugly_covariance(3))
    points, cost = box_starts(target, rng, 6)
    assert points.x.shape == (6, 3)
    assert np.all(np.abs(points.x) <= 2.0)
    assert cost.gradients == 6


def test_each_mode_gets_a_chain_and_the_rest_go_by_mass():
    """Catches: a minor mode without a chain, counts that do not add up."""
    assert shared_out(4, [0.7, 0.3]) == [3, 1]
    assert shared_out(4, [0.999, 0.001]) == [3, 1]
    assert shared_out(10, [0.5, 0.3, 0.2]) == [5, 3, 2]
    assert shared_out(2, [0.5, 0.3, 0.2]) == [1, 1]
    assert shared_out(1, [0.6, 0.4]) == [1]
