"""L-BFGS as a value: asked for a trial point, told the answer."""

import numpy as np
import pytest
import scipy.optimize

from monochord.fits import _lbfgs


def _minimise(function, x, max_trials=2000):
    """Drive one search to its end; the search and the number of evaluations."""
    x = np.asarray(x, dtype=np.float64)
    search, count = _lbfgs.begin(x, *function(x)), 1
    while not search.is_stuck and np.linalg.norm(search.gradient) > 1e-9 and count < max_trials:
        search = _lbfgs.advance(search, *function(search.trial))
        count += 1
    return search, count


def _pairs(rng, dim, count):
    root = rng.standard_normal((dim, dim))
    hessian = root @ root.T + 0.1 * np.eye(dim)
    steps = rng.standard_normal((count, dim)) * np.exp(rng.uniform(-2, 2, (count, 1)))
    return tuple((s, hessian @ s) for s in steps)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_two_loop_recursion_equals_the_compact_form(count, rng):
    """Two derivations of one matrix (Nocedal & Wright 7.4; Byrd, Nocedal & Schnabel 3.1). Catches: any slip in either."""
    pairs = _pairs(rng, 5, count)
    base, wide, core = _lbfgs.inverse_hessian_parts(pairs)
    compact = base * np.eye(5) + wide @ core @ wide.T
    two_loop = np.stack([_lbfgs.inverse_hessian_times(pairs, e) for e in np.eye(5)], axis=1)
    np.testing.assert_allclose(compact, two_loop, rtol=1e-8, atol=1e-8 * np.abs(two_loop).max())


def test_secant_condition_holds_for_the_latest_pair(rng):
    """H⁻¹y = s. Catches: pairs in the wrong order, which both forms could share."""
    pairs = _pairs(rng, 5, 4)
    s, y = pairs[-1]
    np.testing.assert_allclose(_lbfgs.inverse_hessian_times(pairs, y), s, rtol=1e-9)


def test_no_pairs_mean_steepest_descent():
    """Catches: a division by a missing pair."""
    np.testing.assert_array_equal(_lbfgs.inverse_hessian_times((), np.array([0.5, -2.0])), [0.5, -2.0])


def test_ill_conditioned_quadratic_is_solved(ugly_covariance, ugly_mean):
    """Condition number 1e6 from scales alone. Catches: a broken update or line search (steepest descent needs 1e7 steps)."""
    precision, mean = np.linalg.inv(ugly_covariance(8)), ugly_mean(8)
    search, count = _minimise(
        lambda x: (0.5 * (x - mean) @ precision @ (x - mean), precision @ (x - mean)), mean + 1.0, 400
    )
    assert 0.5 * (search.x - mean) @ precision @ (search.x - mean) < 1e-12
    assert count < 300


def test_decrement_is_what_is_left_to_gain_on_a_quadratic(rng):
    """½gᵀH⁻¹g with a complete model. Catches: a missing half, or a sign; the descent's stopping rule rests on it."""
    hessian = np.diag([0.5, 3.0, 20.0])
    search, _ = _minimise(lambda x: (0.5 * x @ hessian @ x, hessian @ x), [1.0, -2.0, 0.7])
    x = np.array([1e-2, 3e-2, -2e-2])
    again = _lbfgs._aim(x, 0.5 * x @ hessian @ x, hessian @ x, search.pairs, (1.0,), 5)
    assert again.decrement == pytest.approx(0.5 * x @ hessian @ x, rel=0.02)


def test_rosenbrock_is_solved():
    """A bent valley. Catches: steps accepted without the curvature condition, pairs of negative curvature kept."""

    def function(x):
        return float(scipy.optimize.rosen(x)), scipy.optimize.rosen_der(x)

    search, count = _minimise(function, [-1.2, 1.0, -0.5, 0.8])
    np.testing.assert_allclose(search.x, 1.0, atol=1e-6)
    assert count < 300


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_walls_shorten_the_step_and_nothing_else(bad):
    """x > 0 only, minimum at 0.01 beside the wall. Catches: a NaN that is compared and accepted, a search that stops."""

    def function(x):
        if x[0] <= 0:
            return bad, np.full(2, np.nan)
        return x[0] - 0.01 * np.log(x[0]) + 50.0 * (x[1] - 3) ** 2, np.array([1 - 0.01 / x[0], 100.0 * (x[1] - 3)])

    search, count = _minimise(function, [5.0, -4.0])
    np.testing.assert_allclose(search.x, [0.01, 3.0], rtol=1e-5)
    assert count < 200


def test_accepted_points_never_go_up():
    """The Armijo condition along a whole run on Rosenbrock. Catches: an inverted comparison."""
    x = np.array([-1.2, 1.0])
    search, heights = _lbfgs.begin(x, float(scipy.optimize.rosen(x)), scipy.optimize.rosen_der(x)), []
    for _ in range(60):
        search = _lbfgs.advance(
            search, float(scipy.optimize.rosen(search.trial)), scipy.optimize.rosen_der(search.trial)
        )
        heights.append(search.potential)
        assert len(search.pairs) <= _lbfgs.MEMORY
    assert np.all(np.diff(heights) <= 0) and heights[-1] < 1e-8


def test_a_start_at_the_minimum_is_stuck_and_a_nan_plateau_ends():
    """Catches: an endless loop where no step can succeed."""
    assert _lbfgs.begin(np.array([0.5]), 1.0, np.array([0.0])).is_stuck
    search = _lbfgs.begin(np.array([0.5]), 1.0, np.array([2.0]))
    for count in range(200):  # noqa: B007  read after the loop
        if search.is_stuck:
            break
        search = _lbfgs.advance(search, np.nan, np.array([np.nan]))
    assert search.is_stuck and count <= _lbfgs.MAX_TRIALS
