"""Gaussians from linear scores: exact with dim + 1 points, and only a candidate elsewhere."""

import numpy as np
import pytest

import monochord as mc
from monochord import FitStatus, Staged
from monochord.fits import run
from monochord.fits._linear import is_linear, points_around, points_between, regressed
from monochord.metrics import DenseMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import evaluate
from monochord.testing import gaussian_target


def _kappa(metric, covariance) -> float:
    precision = np.asarray(DenseMetric.from_covariance(covariance).solve(np.eye(len(covariance))))
    return condition_number(squared_frequencies(metric, precision))


@pytest.mark.parametrize("condition", [20.0, 1e8])
def test_regression_is_exact_from_dim_plus_one_points_and_not_from_dim(condition, ugly_covariance, ugly_mean, rng):
    """Theorem 7c. Catches: a regression through the origin, one-sided rounding, an answer where none is determined."""
    covariance, mean = ugly_covariance(9, condition), ugly_mean(9)
    x = mean + rng.normal(size=(10, 9)) @ np.linalg.cholesky(covariance).T + 3.0
    score = evaluate(gaussian_target(mean, covariance), x).score
    found = regressed(x, score)
    assert _kappa(found.metric, covariance) < 1.0 + 1e-5
    assert np.allclose(found.mean, mean, rtol=1e-5, atol=1e-5 * np.sqrt(np.diag(covariance)).max())
    with pytest.raises(np.linalg.LinAlgError):
        regressed(x[:9], score[:9])


def test_regression_refuses_scores_of_no_gaussian(rng):
    """Catches: a saddle that is turned into a covariance."""
    x = rng.normal(size=(12, 3))
    with pytest.raises(np.linalg.LinAlgError):
        regressed(x, -x @ np.array([[1.0, 2.0, 0.3], [2.0, 1.0, -0.4], [0.3, -0.4, 2.0]]))


def test_linearity_is_seen_between_the_starts(ugly_covariance, ugly_mean, rng):
    """A Gaussian passes, one bent by a thousandth of its curvature in one coordinate alone does not.

    Catches: a test that the stiff coordinates decide, or only the mean of the starts.
    """
    target = gaussian_target(ugly_mean(6), ugly_covariance(6, 1e6))
    x = rng.uniform(-2.0, 2.0, (8, 6))
    between, weights = points_between(rng, x)
    points, score = evaluate(target, between), evaluate(target, x).score
    assert is_linear(score, weights, points)
    size = np.max(np.abs(score), axis=0)
    for coordinate in range(6):
        bend = np.zeros(6)
        bend[coordinate] = 0.1 * size[coordinate]
        bent = points._replace(score=points.score + bend * np.sin(3.0 * points.x))
        assert not is_linear(score + bend * np.sin(3.0 * x), weights, bent)


def test_points_around_determine_a_gaussian(rng):
    """Catches: too few points, or points that lie in a plane."""
    x = rng.normal(size=(3, 7)) + 100.0
    more = points_around(rng, x)
    assert np.linalg.matrix_rank(np.concatenate([x, more]) - x.mean(0)) == 7
    assert len(x) + len(more) > 8


def test_work_on_a_gaussian_does_not_grow_with_its_condition_number(ugly_covariance, ugly_mean, key):
    """Catches: descents, or a diagonal stage, on a target whose scores say all at once."""
    spent = []
    for condition in (20.0, 1e4, 1e8):
        covariance = ugly_covariance(30, condition)
        result = run(key, gaussian_target(100.0 * ugly_mean(30), covariance / np.median(np.diag(covariance))), Staged())
        assert result.verdict == "trust" and result.status is FitStatus.converged
        spent.append(result.cost.gradients)
    assert len(set(spent)) == 1
    assert spent[0] < 30 + 200


def test_a_score_that_is_linear_between_the_starts_alone_misleads_nobody(key):
    """A Gaussian core that bends beyond the starts' cube. Catches: a short cut that its own draws do not judge."""
    import jax.numpy as jnp

    def log_density(x):
        wide = x / 40.0
        return -0.5 * jnp.sum(wide**2) - jnp.sum(jnp.maximum(jnp.abs(x) - 2.5, 0.0) ** 2)

    result = run(key, mc.target(log_density, init=np.zeros(4)), Staged())
    points = result.gaussian.metric.diagonal()
    assert result.repairs.rejected_updates >= 1
    assert np.all(np.sqrt(points) < 8.0)
