"""The structure of the metric: the simplest that costs no more, on points that are not the fit's own."""

import numpy as np
import pytest

import monochord as mc
from monochord import fits
from monochord.fits._structure import candidates, choose_structure, importance_weights, low_rank_of
from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import evaluate
from monochord.testing import gaussian_target


def _choice(covariance, rng, draws=128):
    dim = len(covariance)
    mean = np.linspace(-2, 3, dim)
    exact = Gaussian(mean, DenseMetric.from_covariance(covariance))
    wider = Gaussian(mean, DenseMetric.from_covariance(1.1 * covariance))
    target = gaussian_target(mean, covariance)
    points = evaluate(target, wider.sample(rng, draws))
    return choose_structure(target, exact, wider, points)


def _correlated(dim, directions, rng, size=200.0):
    basis = np.linalg.qr(rng.standard_normal((dim, directions)))[0]
    scale = np.exp(np.linspace(-2, 2, dim))
    return scale[:, None] * (np.eye(dim) + size * basis @ basis.T) * scale


def test_independent_coordinates_get_a_diagonal(rng):
    """Catches: dense by default, or a choice that sees only the noise of the points."""
    chosen, choices = _choice(np.diag(np.exp(np.linspace(-4, 4, 30))), rng)
    assert isinstance(chosen.metric, DiagonalMetric) and np.ptp(chosen.metric.scale) > 0
    assert [choice.name for choice in choices][:2] == ["isotropic", "diagonal"]


def test_equal_scales_need_no_preconditioning(rng):
    """On a whitened target the isotropic metric is chosen: no fit pays. Catches: complexity that buys nothing."""
    chosen, _ = _choice(2.7 * np.eye(25), rng)
    assert isinstance(chosen.metric, DiagonalMetric) and np.ptp(chosen.metric.scale) == 0


def test_two_slow_directions_get_a_low_rank(rng):
    """Catches: ranks in the wrong order, or a truncation that keeps the wrong directions."""
    covariance = _correlated(60, 2, rng)
    chosen, _ = _choice(covariance, rng)
    assert isinstance(chosen.metric, LowRankMetric) and chosen.metric.rank in (2, 4)
    assert condition_number(squared_frequencies(chosen.metric, np.linalg.inv(covariance))) < 4


def test_small_targets_get_a_dense_matrix_or_a_diagonal(ugly_covariance, rng):
    """Catches: low rank where a matrix is as simple."""
    chosen, choices = _choice(ugly_covariance(6), rng)
    assert isinstance(chosen.metric, DenseMetric)
    assert {choice.name for choice in choices} == {"isotropic", "diagonal", "dense"}


def test_truncation_is_exact_where_the_rank_suffices(rng):
    """diag + rank 2 in the multiplicative form. Catches: the middle of the spectrum not at one."""
    dim, rank = 40, 2
    basis = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    exact = LowRankMetric(np.full(dim, 0.3), basis, np.array([50.0, 0.02]))
    rebuilt = low_rank_of(DenseMetric.from_covariance(exact.dense()), rank)
    squared = squared_frequencies(rebuilt, np.linalg.inv(exact.dense()))
    assert condition_number(squared) < 1.6  # the best diagonal differs a little from a constant one


def test_importance_weights_sum_to_one_and_are_bounded(rng):
    """Catches: one tail draw that decides everything."""
    target = gaussian_target(np.zeros(3), np.diag([1.0, 2.0, 9.0]))
    narrow = Gaussian(np.zeros(3), DiagonalMetric(np.full(3, 0.6)))
    weights = importance_weights(narrow, evaluate(target, narrow.sample(rng, 4000)))
    assert weights.sum() == pytest.approx(1.0) and weights.max() < 60 / 4000


def test_candidates_are_valid_and_ordered_by_complexity(ugly_covariance):
    """Catches: a candidate of the wrong size."""
    found = candidates(DenseMetric.from_covariance(ugly_covariance(24)))
    assert [name for name, _ in found] == ["isotropic", "diagonal", "low rank 1", "low rank 2", "low rank 4", "dense"]
    assert all(metric.dim == 24 for _, metric in found)


def test_a_stated_family_is_kept():
    """Catches: a user's `family="dense"` overruled."""
    target = gaussian_target(np.zeros(4), np.diag(np.exp(np.linspace(-2, 2, 4))))
    assert isinstance(mc.fit(target, seed=0, family="dense").gaussian.metric, DenseMetric)
    fit = mc.fit(target, seed=0)
    assert isinstance(fit.gaussian.metric, DiagonalMetric) and fit.choices


def test_a_fit_says_where_no_preconditioning_pays(key):
    """An isotropic target, and one that is not. Catches: the sentence missing, or printed for every fit."""
    same, other = (
        fits.run(key, gaussian_target(np.array([3.0, -1.0, 0.5]), np.diag(variances)), fits.Staged())
        for variances in (np.full(3, 0.09), np.array([0.09, 40.0, 2.0]))
    )
    assert "No preconditioning pays" in str(same) and same.verdict == "trust"
    assert np.allclose(np.asarray(same.gaussian.metric.diagonal()), 0.09, rtol=1e-3)
    assert "No preconditioning pays" not in str(other)
