"""What a run's draws say about a fit equals what the fit's own formulas say on the same points."""

import numpy as np
import pytest

from monochord.fits._score import coordinate_residuals, residual_terms
from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric, identity_metric
from monochord.sampling import EvidenceSum
from monochord.spectra import cost_functional
from monochord.targets import Evaluations, evaluate
from monochord.testing import banana_target


@pytest.fixture
def case(ugly_covariance, rng):
    target = banana_target()
    fit = Gaussian(np.array([0.4, -0.8]), DenseMetric.from_covariance(ugly_covariance(2)))
    x = rng.standard_normal((3, 40, 2)) * np.array([2.0, 1.5])
    points = evaluate(target, x.reshape(-1, 2))
    return fit, points, x, points.score.reshape(x.shape)


def test_streamed_sums_equal_the_fit_s_own_formulas(case):
    """Catches: a chain counted twice, blocks that are not added up, the unconstrained residual for the whitened one."""
    fit, points, x, score = case
    total = EvidenceSum(fit, 3)
    assert total.evidence() is None
    for part in (slice(0, 7), slice(7, 8), slice(8, 40)):
        total.add(x[:, part], score[:, part])
    evidence = total.evidence()
    shares = coordinate_residuals(fit, points).mean(0)
    assert evidence.residual.value == pytest.approx(residual_terms(fit, points).mean(), rel=1e-12)
    assert evidence.coordinate == int(np.argmax(shares))
    assert evidence.share.value == pytest.approx(shares.max(), rel=1e-12)


def test_errors_are_over_chains(case):
    """Catches: sd/√n over draws, which ignores their autocorrelation."""
    fit, points, x, score = case
    total = EvidenceSum(fit, 3)
    total.add(x, score)
    by_chain = residual_terms(fit, points).reshape(3, 40).mean(1)
    assert total.evidence().residual.standard_error == pytest.approx(by_chain.std(ddof=1) / np.sqrt(3), rel=1e-10)


def test_gain_is_that_of_all_draws_whatever_their_number(rng, ugly_covariance):
    """Over 2,000 draws a chain, of which a sample is kept: C(I)/C(Σ) within 20 % of that over all. Catches: only the first
    draws kept, memory that grows, the ratio upside down."""
    metric = DenseMetric.from_covariance(ugly_covariance(3))
    truth = Gaussian(np.array([1.0, -2.0, 3.0]), metric)
    x = truth.sample(rng, 8000).reshape(4, 2000, 3)
    score = np.asarray(truth.score(x))
    total = EvidenceSum(truth, 4)
    for start in range(0, 2000, 130):
        total.add(x[:, start : start + 130], score[:, start : start + 130])
    assert len(total._sample) <= 128
    points = Evaluations(x.reshape(-1, 3), np.zeros(8000), score.reshape(-1, 3))
    whole = cost_functional(identity_metric(3), points).value / cost_functional(metric, points).value
    assert whole > 10
    assert total.evidence().gain == pytest.approx(whole, rel=0.2)
