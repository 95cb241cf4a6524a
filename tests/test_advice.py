"""Advice fits the cause, and comes only where something fell short."""

import dataclasses

import numpy as np
import pytest

import monochord as mc
from monochord.advice import advice
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.fits import Mode
from monochord.sampling import Draws, Evidence, Segment, Standpoint, Tuning
from monochord.sampling._enough import Standing
from monochord.targets import Evaluations
from monochord.testing import gaussian_target

SMALL = Estimate(0.01, 0.001, 100)


@pytest.fixture(scope="module")
def run():
    """A target, its fit, and a function that makes draws with a given standing and evidence."""
    target = gaussian_target(np.array([1.0, -2.0, 0.5]), np.diag([4.0, 0.3, 1.5]))
    fit = mc.fit(target, seed=0, progress=False)

    def make(standing=None, share=SMALL, status="draw limit reached before the target ESS", spread=1.0):
        x = spread * np.random.default_rng(0).standard_normal((4, 50, 3))
        flat = np.zeros((4, 50))
        segment = Segment(x, x[:, :, :0], flat, flat, flat, flat, flat)
        ends = Evaluations(x[:, -1], flat[:, -1], x[:, -1])
        stands = Standpoint(ends, 50, "nuts", 10, (Tuning(fit.gaussian.metric, 0.5, 1.5),) * 4, (slice(0, 4),))
        evidence = Evidence(SMALL, 2, share, 0.01, share.value)
        standing = standing or Standing(120.0, 1, 1.03, False)
        return Draws(segment, stands, None, Cost(), status, 0.1, 0.1, evidence, standing)

    return target, fit, make


def _said(target, fit, draws) -> str:
    return " ".join(advice(target, fit, draws))


def test_nothing_is_said_where_nothing_is_wanting(run):
    target, fit, make = run
    done = make(Standing(450.0, 1, 1.004, True), status="target ESS reached")
    assert (
        advice.__wrapped__(target, fit, done) == []
        if hasattr(advice, "__wrapped__")
        else advice(target, fit, done) == []
    )


def test_each_cause_has_its_own_advice(run):
    """Catches: one sentence for all, the parameter left out, funnel advice for heavy tails."""
    target, fit, make = run
    assert "Allow more" in _said(target, fit, make())
    assert "`x[1]` is the slowest" in _said(target, fit, make())
    funnel = _said(target, fit, make(share=Estimate(3.0, 0.1, 100)))
    assert "`x[2]`" in funnel
    assert "z ~ N(0, 1)" in funnel
    heavy = dataclasses.replace(fit, radial_spread=Estimate(1.6, 0.02, 4))
    assert "tails are heavier" in _said(target, heavy, make())
    assert "proper prior" in _said(target, fit, make(spread=1e5))
    modes = (Mode(np.zeros(3), SMALL, 0.6), Mode(np.ones(3), SMALL, 0.4))
    assert "separate modes" in _said(target, dataclasses.replace(fit, modes=modes), make())
    split = make(Standing(450.0, 1, 1.004, True, is_split=True), status="target ESS reached")
    assert "separate modes" in _said(target, fit, split)
