"""The refinement of a metric by posterior draws: better where the prior is wrong, untouched where it is right."""

import numpy as np
import pytest

from monochord.gaussian import Gaussian
from monochord.learning import refiner
from monochord.metrics import Dense, DenseMetric, Diagonal, DiagonalMetric, LowRank, LowRankMetric, identity_metric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import Evaluations

DIM = 8
CHAINS = np.repeat(np.arange(4), 40)


@pytest.fixture
def posterior(ugly_covariance, ugly_mean, rng):
    """160 draws and scores of a Gaussian of 4 chains, its metric and its Hessian."""
    metric = DenseMetric.from_covariance(ugly_covariance(DIM))
    truth = Gaussian(ugly_mean(DIM), metric)
    x = truth.sample(rng, 160)
    return (
        Evaluations(x, np.asarray(truth.log_prob(x)), np.asarray(truth.score(x))),
        truth,
        np.linalg.inv(metric.dense()),
    )


def _kappa(metric, hessian) -> float:
    return condition_number(squared_frequencies(metric, hessian))


@pytest.mark.parametrize("collapse", [1.0, 1e-4])
def test_scores_mend_a_wrong_metric_at_once(collapse, posterior):
    """From the identity, and from a scale 10⁴ too small: scores of a Gaussian are linear, so 160 draws in 8 dimensions
    give H to rounding. A sample covariance would leave κ about 2.4. Catches: a prior that outweighs the draws for ever.
    """
    points, truth, hessian = posterior
    scale = np.exp(np.linspace(1.0, -1.0, DIM))
    scale[3] *= collapse
    learned = refiner((Dense(),))(Gaussian(truth.mean + 1.0, DiagonalMetric(scale)), points, CHAINS)
    assert _kappa(DiagonalMetric(scale), hessian) > 1e3
    assert _kappa(learned.metric, hessian) < 1.01


def test_a_right_metric_comes_back_as_it_is(posterior):
    """Catches: noise of the draws let into a metric that they do not contradict."""
    points, truth, _ = posterior
    assert refiner((Dense(),))(truth, points, CHAINS) is truth


def test_the_simplest_family_that_serves_is_learned(ugly_mean, ugly_scale, rng):
    """An uncorrelated posterior with heavy tails: diagonal is learned although dense is offered."""
    x = ugly_mean(DIM) + ugly_scale(DIM) * rng.standard_t(5, (160, DIM))
    score = -6.0 * (x - ugly_mean(DIM)) / (5.0 * ugly_scale(DIM) ** 2 + (x - ugly_mean(DIM)) ** 2)
    points = Evaluations(x, np.zeros(160), score)
    start = Gaussian(np.zeros(DIM), identity_metric(DIM))
    assert isinstance(refiner((Diagonal(), Dense()))(start, points, CHAINS).metric, DiagonalMetric)


def test_low_rank_stays_low_rank(posterior):
    points, truth, hessian = posterior
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, 2)))[0]
    start = LowRankMetric(np.exp(np.linspace(2.0, -2.0, DIM)), basis, np.array([3.0, 0.2]))
    learned = refiner((LowRank(2),))(Gaussian(truth.mean, start), points, CHAINS).metric
    assert isinstance(learned, LowRankMetric)
    assert learned.rank == 2
    assert _kappa(learned, hessian) < 0.2 * _kappa(start, hessian)


def test_too_few_draws_change_nothing(posterior):
    points, truth, _ = posterior
    start = Gaussian(truth.mean, identity_metric(DIM))
    assert refiner((Dense(),))(start, points.take(slice(0, 12)), CHAINS[:12]) is start


def test_a_single_chain_is_split_in_time(posterior):
    points, truth, hessian = posterior
    start = Gaussian(truth.mean, identity_metric(DIM))
    learned = refiner((Dense(),))(start, points, np.zeros(160, int))
    assert _kappa(learned.metric, hessian) < 1.01
