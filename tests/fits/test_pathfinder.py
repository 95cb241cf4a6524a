"""Pathfinder: curvature of a path without error, paths that are distinct and say so, every gradient counted."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.counting import Counter, counted
from monochord import Dense, Diagonal, FitStatus, LowRank
from monochord.arrays import named_key
from monochord.fits import run
from monochord.fits._laplace import next_diagonal, path_metric, restricted
from monochord.fits._pathfinder import Pathfinder
from monochord.metrics import DenseMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import callable_target
from monochord.testing import flat_direction_target, funnel_target, gaussian_target, nowhere_finite_target

FAMILIES = [Diagonal(), LowRank(rank=2), Dense()]


def _pairs(rng, dim, count, scale):
    """Steps and the gradient changes of a quadratic whose curvatures differ by the squares of `scale`."""
    root = rng.standard_normal((dim, dim)) / scale
    hessian = root.T @ root + np.diag(0.1 / scale**2)
    steps = rng.standard_normal((count, dim)) * scale
    return tuple((s, hessian @ s) for s in steps)


def test_the_diagonal_is_that_of_a_scaled_bfgs_update(rng, ugly_scale):
    """Gilbert & Lemaréchal, eq. 4.9, from the matrices it is the diagonal of. Catches: α for 1/α, a and c exchanged."""
    alpha = ugly_scale(5) ** 2 * np.linspace(0.5, 2.0, 5)
    for s, y in _pairs(rng, 5, 4, ugly_scale(5)):
        curvature = np.diag((y * alpha) @ y / (y @ s) / alpha)
        image = curvature @ s
        updated = curvature - np.outer(image, image) / (s @ image) + np.outer(y, y) / (y @ s)
        alpha = next_diagonal(alpha, s, y)
        np.testing.assert_allclose(alpha, 1.0 / np.diag(updated), rtol=1e-9)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_path_metric_equals_the_bfgs_recursion(count, rng, ugly_scale):
    """H ← (I − ρsyᵀ)H(I − ρysᵀ) + ρssᵀ from diag(α). Catches: any slip in the compact form or in its factoring,
    and with more columns than coordinates too."""
    scale = ugly_scale(5)
    alpha, pairs = scale**2 * np.linspace(0.5, 2.0, 5), _pairs(rng, 5, count, scale)
    expected = np.diag(alpha)
    for s, y in pairs:
        left = np.eye(5) - np.outer(s, y) / (s @ y)
        expected = left @ expected @ left.T + np.outer(s, s) / (s @ y)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    metric = path_metric(pairs, alpha)
    np.testing.assert_allclose(metric.dense() / size, expected / size, atol=1e-8)
    marginal = restricted(Diagonal(), metric)
    np.testing.assert_allclose(marginal.diagonal(), np.diag(expected), rtol=1e-7)


def test_truncation_keeps_the_most_extreme_directions(rng, ugly_scale):
    """Both ends of the spectrum. Catches: the largest eigenvalues kept instead."""
    metric = path_metric(_pairs(rng, 7, 3, ugly_scale(7)), ugly_scale(7) ** 2)
    kept = restricted(LowRank(rank=2), metric)
    sizes = np.sort(np.abs(np.log(metric.eigenvalues)))
    np.testing.assert_array_equal(np.sort(np.abs(np.log(kept.eigenvalues))), sizes[-2:])


def _two_modes(params, places, scale):
    x = (params["x"] - places) / scale
    return jnp.logaddexp(-0.5 * jnp.sum(x[0] ** 2), jnp.log(2.0) - 0.5 * jnp.sum(x[1] ** 2))


@pytest.fixture
def two_modes(ugly_scale, ugly_mean):
    """Modes 8 standard deviations from the centre in one of four coordinates; the second has twice the mass."""
    scale, shift = ugly_scale(4), np.zeros(4)
    shift[2] = 8.0 * scale[2]
    places = np.stack([ugly_mean(4) - shift, ugly_mean(4) + shift])
    return callable_target(_two_modes, {"x": ugly_mean(4)}, {"places": places, "scale": scale}), places


def test_paths_end_in_different_modes_and_say_so(two_modes, key):
    """Two starts at each mode. Catches: paths that share a start, a disagreement that is not reported, trust."""
    target, places = two_modes
    starts = np.concatenate([places + 0.3, places - 0.4])
    result = run(key, target, Pathfinder(), initial=starts)
    state = result.state
    found = [np.argmin(np.abs(path.best.mean[2] - places[:, 2])) for path in state.paths]
    assert found == [0, 1, 0, 1]
    assert sum(state.is_apart) == 2 and state.note.startswith("2 of 4 paths ended in another mode")
    assert result.status is FitStatus.settled
    assert abs(state.log_masses[0] - state.log_masses[1] + np.log(2.0)) < 3.0  # half in truth, from 64 draws each
    assert run(key, target, Pathfinder(), initial=places[:1] + 0.1).state.note == "1 of 1 paths ended in one mode."


def test_paths_start_at_distinct_points(key, ugly_covariance, ugly_mean):
    """And agree on a Gaussian. Catches: one start for all paths, a bridge that sees modes where there are none."""
    target = gaussian_target(ugly_mean(5), ugly_covariance(5, 20.0))
    algorithm = Pathfinder(num_paths=5)
    starts = np.stack([search.x for search in algorithm.init(key, target).searches])
    assert len(np.unique(starts, axis=0)) == 5
    result = run(key, target, algorithm)
    assert result.state.note == "5 of 5 paths ended in one mode."
    ends = [path.best.mean for path in result.state.paths]
    assert len({tuple(end) for end in ends}) == 5


def test_a_gaussian_is_nearly_found(key, ugly_covariance, ugly_mean):
    """With as many pairs as the search keeps. Catches: a Newton step with the wrong sign, a path of bad Gaussians.
    Not exact: L-BFGS leaves directions that its steps have not crossed lately."""
    mean, covariance = ugly_mean(6), ugly_covariance(6, 20.0)
    result = run(key, gaussian_target(mean, covariance), Pathfinder(history=20))
    kappa = condition_number(squared_frequencies(result.gaussian.metric, np.linalg.inv(covariance)))
    start = condition_number(squared_frequencies(DenseMetric.from_covariance(np.eye(6)), np.linalg.inv(covariance)))
    assert kappa < 5.0 < 1e4 < start
    gap = 3.0 * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(covariance)[1] - result.elbo.value
    assert -5.0 * result.elbo.standard_error < gap < 0.5


def test_the_path_of_highest_elbo_is_chosen(key):
    """Catches: the first path, the lowest potential."""
    state = run(key, funnel_target(5), Pathfinder(num_paths=6)).state
    values = [elbo.value for elbo in state.path_elbos]
    chosen = state.paths[int(np.argmax(values))].best
    np.testing.assert_array_equal(chosen.mean, state.current.mean)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("number", range(3))
def test_a_funnel_is_not_trusted(number, seed):
    """Catches: a verdict from the path's own optimism."""
    assert run(named_key(seed, f"funnel {number}"), funnel_target(10), Pathfinder()).verdict != "trust"


def _curved(params, scale):
    x = params["x"] / scale
    return -0.5 * jnp.sum(x**2) - 0.1 * jnp.sum(jnp.cos(x)) - 0.3 * x[0] * x[1]


@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_costs_equal_an_independent_count_and_resuming_changes_nothing(family, key, ugly_scale):
    """The density counts itself. Catches: draws of an ELBO that are not charged, a state that leaves something out."""
    counter, algorithm = Counter(), Pathfinder(family=family, num_paths=3)
    target = callable_target(counted(_curved, counter), {"x": np.zeros(5)}, {"scale": ugly_scale(5)})
    before = counter.total
    whole = run(key, target, algorithm)
    assert counter.total - before == whole.cost.gradients + whole.cost.idle_lanes
    assert type(whole.gaussian.metric).__name__ == type(family).__name__ + "Metric"
    for steps in (1, 6, whole.state.num_steps - 2):
        part = run(key, target, algorithm, max_steps=steps)
        assert part.status is FitStatus.max_steps
        again = run(key, target, algorithm, state=part.state)
        assert (again.elbo, again.cost, again.repairs) == (whole.elbo, whole.cost, whole.repairs)
        np.testing.assert_array_equal(again.gaussian.metric.dense(), whole.gaussian.metric.dense())
        assert again.state.note == whole.state.note


def _box(params, scale):
    x = (params["x"] - 0.2) / scale
    inside = jnp.all(jnp.abs(x) < 2.0)
    return jnp.where(inside, -0.5 * jnp.sum(x**2) - 0.4 * x[0] * x[1], -jnp.inf)


@pytest.mark.parametrize("family", FAMILIES, ids=["diagonal", "low rank", "dense"])
def test_a_box_is_survived(family, key):
    """Catches: a NaN that spreads, a candidate outside the support that wins."""
    target = callable_target(_box, {"x": np.full(5, 0.2)}, {"scale": np.exp(np.linspace(-1.0, 1.0, 5))})
    result = run(key, target, Pathfinder(family=family))
    assert result.repairs.nonfinite_points > 0
    assert np.isfinite(result.elbo.value) and np.all(np.isfinite(result.gaussian.mean))
    assert np.max(np.abs(result.gaussian.mean - 0.2) / np.exp(np.linspace(-1.0, 1.0, 5))) < 2.0


def test_ends_without_a_gaussian_are_statuses(key):
    """Catches: an exception where no path has curvature, or no start a density."""
    assert run(key, nowhere_finite_target(), Pathfinder()).status is FitStatus.no_finite_start
    assert run(key, flat_direction_target(3), Pathfinder()).status is FitStatus.diverged
    uphill = callable_target(_uphill, {"x": np.zeros(3)}, {"slope": np.array([1.0, -2.0, 0.5])})
    result = run(key, uphill, Pathfinder(max_iterations=50))
    assert result.status is FitStatus.diverged and result.verdict == "do not use"


def _uphill(params, slope):
    return jnp.sum(slope * params["x"])
