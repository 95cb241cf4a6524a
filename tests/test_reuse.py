"""A fit on other data: measured anew, honest about what no longer holds, and worth beginning with."""

import dataclasses

import numpy as np
import pytest

import monochord as mc
from monochord.fits import BatchMatch, FitStatus, Mode
from monochord.spectra import Verdict
from monochord.testing import funnel_target, gaussian_target

DIM = 6
SCALE = np.geomspace(1e-2, 1e2, DIM)
CORRELATION = 0.7 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM)))
COVARIANCE = CORRELATION * np.outer(SCALE, SCALE)
FACTOR = np.linalg.cholesky(COVARIANCE)
MEAN = SCALE * np.linspace(-2.0, 3.0, DIM)


@pytest.fixture(scope="module")
def fit():
    return mc.fit(gaussian_target(MEAN, COVARIANCE), seed=0)


def shifted(deviations: float):
    """The target with its mean `deviations` standard deviations away in every whitened direction."""
    return gaussian_target(MEAN + FACTOR @ np.full(DIM, deviations), COVARIANCE)


def test_where_it_was_made_it_holds(fit):
    again = mc.refit(fit, gaussian_target(MEAN, COVARIANCE), seed=4)
    assert again.verdict == "trust"
    assert again.reasons[0].startswith("Measured on this target, the fit holds")
    assert again.status is FitStatus.given
    assert again.gaussian.metric is fit.gaussian.metric
    assert again.choices == fit.choices and str(again)


def test_the_cost_is_that_of_measuring(fit):
    """64 antithetic pairs, and four rays of four points."""
    assert mc.refit(fit, gaussian_target(MEAN, COVARIANCE), seed=4).cost.gradients == 128 + 16
    assert mc.refit(fit, shifted(2.0), seed=4).cost.gradients == 128  # no ray where the residual settles it


def test_evidence_is_exact_on_a_shifted_gaussian(fit):
    """A Gaussian of the same Σ, δ whitened units away in each direction, has the residual δ² and ELBO −δ²·dim/2 lower."""
    again = mc.refit(fit, shifted(1.5), seed=2)
    assert again.score_residual.value == pytest.approx(1.5**2, rel=1e-6)
    terms = [f.elbo for f in (fit, again)]
    assert terms[0].value - terms[1].value == pytest.approx(
        1.5**2 * DIM / 2, rel=1e-6
    )  # antithetic pairs cancel the rest
    assert any("1.5 of its standard deviations away" in reason for reason in again.reasons)


def test_what_no_longer_holds_is_said(fit):
    again = mc.refit(fit, shifted(1.5), seed=2)
    assert again.verdict == "do not use"
    assert "does not hold" in again.reasons[0] and "start=fit" in again.reasons[0]
    assert not any("no linear preconditioner" in reason for reason in again.reasons), "another Gaussian fits exactly"


def test_a_little_drift_still_holds(fit):
    again = mc.refit(fit, shifted(0.1), seed=2)
    assert again.verdict == "trust"
    assert "the fit holds" in again.reasons[0]


@pytest.mark.parametrize(
    ("deviations", "family"), [(0.0, None), (8.0, None), (0.0, "low_rank"), (8.0, "low_rank"), (0.0, "diagonal")]
)
def test_it_serves_as_the_start_of_a_new_fit(deviations, family):
    """From the old fit the new one takes fewer gradients than from nothing, and arrives.

    Not for a diagonal fit of a correlated target far away: measured, 2,688 gradients in place of 2,306.
    """
    made = mc.fit(gaussian_target(MEAN, COVARIANCE), seed=0, family=family)
    target = shifted(deviations)
    fresh = mc.fit(target, seed=1, family=family)
    begun = mc.fit(target, seed=1, family=family, start=mc.refit(made, target, seed=2))
    assert begun.verdict == fresh.verdict
    assert type(begun.gaussian.metric) is type(fresh.gaussian.metric)
    assert begun.score_residual.value < max(0.02, 1.2 * fresh.score_residual.value)
    if (
        family is not None
    ):  # with linear scores a fit from nothing costs dim + 1 points and the check: no start beats that
        assert begun.cost.gradients < fresh.cost.gradients


def test_modes_seen_before_still_count(fit):
    modes = (Mode(MEAN, fit.elbo, 0.8), Mode(MEAN + 1.0, fit.elbo, 0.2))
    two = dataclasses.replace(fit, modes=modes, judgement=Verdict("start only", ()))
    again = mc.refit(two, gaussian_target(MEAN, COVARIANCE), seed=4)
    assert again.verdict == "start only"
    assert again.modes == modes
    assert any("2 separate modes" in reason for reason in again.reasons)


def test_a_run_with_it_knows_it(fit):
    """`sample` takes the measured fit as it stands: its draws have the densities they had."""
    target = gaussian_target(MEAN, COVARIANCE)
    tree = mc.sample(target, fit=mc.refit(fit, target, seed=1), seed=0, chains=2, draws=20, kernel="nuts")
    assert tree["sample_stats"].attrs["fit_status"] == "given"
    assert tree["sample_stats"].attrs["fit_note"] == ""
    assert tree["sample_stats"].attrs["gradients_fit"] == 144


def test_what_does_not_belong_is_refused(fit):
    other = gaussian_target(MEAN[:3], COVARIANCE[:3, :3])
    with pytest.raises(mc.OptionError, match="another target"):
        mc.refit(fit, other)
    with pytest.raises(mc.OptionError, match="another target"):
        mc.fit(other, seed=0, start=fit)
    with pytest.raises(mc.OptionError, match="has 6 coordinates"):
        mc.fit(other, seed=0, start=fit.gaussian)
    with pytest.raises(mc.OptionError, match="part of an algorithm"):
        mc.fit(shifted(0.0), seed=0, start=fit, algorithm=BatchMatch())


def test_a_map_goes_with_the_fit():
    """Measured along its map a funnel's fit is exact, as it was; without the map it would be of no use. A new fit keeps it."""
    wide = mc.fit(funnel_target(4), seed=0, maps=True)
    assert wide.verdict == "trust" and wide.map is not None
    again = mc.refit(wide, funnel_target(4), seed=1)
    assert again.verdict == "trust" and again.map is wide.map
    assert again.score_residual.value < 1e-6
    without = mc.refit(dataclasses.replace(wide, map=None), funnel_target(4), seed=1)
    assert without.verdict == "do not use"
    narrow = funnel_target(4, scale=1.0)
    assert mc.refit(wide, narrow, seed=1).verdict == "do not use"
    begun = mc.fit(narrow, seed=1, start=wide)
    assert begun.verdict == "trust" and begun.map is wide.map
    sd = float(begun.gaussian.metric.diagonal()[0]) ** 0.5
    assert sd == pytest.approx(1.0, rel=1e-6)
