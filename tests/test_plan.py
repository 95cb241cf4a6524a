"""What chains run with, by verdict and by what was stated."""

import numpy as np
import pytest

import monochord as mc
from monochord.metrics import LowRankMetric
from monochord.plan import SampleOptions, plan
from monochord.testing import funnel_target, gaussian_target


@pytest.fixture(scope="module")
def fitted():
    target = gaussian_target(np.array([1.0, -2.0]), np.diag([4.0, 0.3]))
    return target, mc.fit(target, seed=0, progress=False)


def test_a_low_rank_fit_in_which_nothing_stands_out(fitted):
    """Catches: a family of rank 0, which is none."""
    target, fit = fitted
    bare = LowRankMetric(np.array([2.0, 0.5]), np.zeros((2, 0)), np.zeros(0))
    _, metric, _ = plan(target.names, fit, mc.Gaussian(fit.gaussian.mean, bare), SampleOptions(), False)
    assert metric is bare


def test_acceptance_follows_the_verdict_unless_stated(fitted):
    """Catches: .8 on a funnel, a stated value overridden."""
    target, fit = fitted
    funnel = funnel_target(6)
    refused = mc.fit(funnel, seed=0, maps=False, progress=False)
    assert refused.verdict == "do not use"
    for result, names, wanted in ((fit, target.names, 0.8), (refused, funnel.names, 0.95)):
        assert plan(names, result, result.gaussian, SampleOptions(), False)[0].target_accept == wanted
        stated = plan(names, result, result.gaussian, SampleOptions(target_accept=0.7), False)[0]
        assert stated.target_accept == 0.7
        assert not stated.raises_accept


def test_a_trusted_fit_is_not_refined_and_initial_points_take_trust_away(fitted):
    target, fit = fitted
    assert plan(target.names, fit, fit.gaussian, SampleOptions(), False)[0].is_trusted
    assert not plan(target.names, fit, fit.gaussian, SampleOptions(), True)[0].is_trusted
    assert plan(target.names, fit, fit.gaussian, SampleOptions(metric="identity"), True)[0].refine is None


def test_draws_left_open_fit_into_memory():
    """Catches: a default limit that asks for more memory than there is, in many dimensions."""
    assert SampleOptions().most_draws(10) == 20_000
    assert SampleOptions().most_draws(10_000_000) < 200
    with pytest.raises(mc.OptionError, match="need .* GiB"):
        SampleOptions(draws=1_000_000).most_draws(1_000_000)
