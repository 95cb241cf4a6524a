"""The verdict: firm evidence on either side of its limits."""

import math

import pytest

from monochord import Estimate
from monochord.spectra import judge

ENDING = "The fit ended."
GOOD_K = Estimate(0.1, 0.05, 128)


@pytest.mark.parametrize(
    ("residual", "error", "name"),
    [(0.002, 1e-4, "trust"), (0.09, 0.02, "start only"), (0.2, 0.01, "start only"), (0.5, 0.1, "start only"),
     (0.5, 0.01, "do not use"), (40.0, 1.0, "do not use"), (math.nan, 1.0, "do not use"), (math.inf, 1.0, "do not use")],
)  # fmt: skip
def test_residual_decides_beyond_its_noise(residual, error, name):
    """Catches: a limit compared without the error, on the wrong side, or with NaN."""
    verdict = judge(Estimate(residual, error, 64), GOOD_K, True, ENDING)
    assert verdict.name == name
    assert verdict.reasons and all(reason.endswith(".") for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"finished": False}, "ended"),
        ({"pareto_k": Estimate(1.3, 0.1, 128)}, "Pareto"),
        ({"nonfinite_share": 0.05}, "5%"),
    ],
)
def test_each_doubt_alone_takes_trust_away_and_says_why(change, words):
    """Catches: evidence that is collected and not used."""
    arguments = {"residual": Estimate(0.002, 1e-4, 64), "pareto_k": GOOD_K, "finished": True, "ending": ENDING}
    assert judge(**arguments).name == "trust"
    verdict = judge(**{**arguments, **change})
    assert verdict.name == "start only" and any(words in reason for reason in verdict.reasons)


def test_a_noisy_pareto_k_is_no_evidence():
    """Catches: a tail index of .8 ± .2 taken for firm."""
    assert judge(Estimate(0.002, 1e-4, 64), Estimate(0.8, 0.2, 64), True, ENDING).name == "trust"


def test_an_unknown_residual_error_is_no_ground_for_trust():
    """A residual above the limit with a NaN error (one pair of draws). Catches: comparisons that NaN slips through."""
    assert judge(Estimate(5.0, math.nan, 1), GOOD_K, True, ENDING).name != "trust"


def test_an_unknown_pareto_k_is_no_ground_for_trust():
    """NaN comes from fewer than 25 finite ratios. Catches: NaN > limit being False."""
    assert judge(Estimate(0.002, 1e-4, 64), Estimate(math.nan, math.nan, 3), True, ENDING).name != "trust"


def test_no_gaussian_is_not_to_be_used():
    """Catches: a crash where the fit found nothing."""
    assert judge(None, None, False, ENDING).name == "do not use"


@pytest.mark.parametrize(
    ("residual", "gain", "name"),
    [(0.02, 1.1, "do not use"), (0.02, 2.5, "start only"), (0.35, 2.5, "do not use"), (0.35, 10.0, "start only")],
)
def test_indefinite_hessians_refuse_a_metric_that_gains_nothing(residual, gain, name):
    """A funnel and a hierarchy differ in nothing else. Catches: the gain ignored, or taken at one limit for poor fits too."""
    verdict = judge(
        Estimate(residual, 1e-3, 64),
        GOOD_K,
        True,
        ENDING,
        worst_coordinate=("v", Estimate(1.3, 0.1, 64)),
        indefinite_share=Estimate(1.0, 0.0, 8),
        gain_over_identity=Estimate(gain, 0.3, 48),
    )
    assert verdict.name == name
    assert any("no metric at all" in reason for reason in verdict.reasons)
