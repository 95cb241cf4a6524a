"""The staged fit: exact on Gaussians of any scale, repeatable, and honest where it cannot succeed."""

import numpy as np
import pytest

from monochord import Dense, Diagonal, FitStatus, Gaussian, LowRank, Staged
from monochord.arrays import fold_key, named_key
from monochord.fits import run
from monochord.metrics import DenseMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import evaluate
from monochord.testing import (
    banana_target,
    flat_direction_target,
    funnel_target,
    gaussian_target,
    nowhere_finite_target,
)


def _kappa(result, covariance) -> float:
    precision = np.asarray(DenseMetric.from_covariance(covariance).solve(np.eye(len(covariance))))
    return condition_number(squared_frequencies(result.gaussian.metric, precision))


def _same_state(first, second) -> bool:
    """Bit for bit."""
    return (
        np.array_equal(first.gaussian.mean, second.gaussian.mean)
        and np.array_equal(first.gaussian.metric.dense(), second.gaussian.metric.dense())
        and first.elbo == second.elbo
        and first.cost == second.cost
        and first.status == second.status
    )


@pytest.mark.parametrize(("dim", "condition"), [(3, 50.0), (3, 1e8), (12, 1e4), (40, 20.0), (40, 1e8)])
def test_gaussians_of_any_scale_are_found(dim, condition, ugly_covariance, ugly_mean, key):
    """Catches: a stage that loses directions, a stop too early, work that grows with the condition number."""
    covariance = ugly_covariance(dim, condition)
    covariance /= np.median(np.diag(covariance))
    mean = ugly_mean(dim) / dim
    result = run(key, gaussian_target(mean, covariance), Staged())
    assert _kappa(result, covariance) < 1.05
    assert result.verdict == "trust", result.reasons
    assert result.status is FitStatus.converged
    assert np.abs(np.linalg.solve(np.linalg.cholesky(covariance), result.gaussian.mean - mean)).max() < 0.05
    assert result.cost.gradients < 600 + 60 * dim
    assert result.score_residual.value < 0.02


@pytest.fixture
def gaussian_problem(ugly_covariance, ugly_mean):
    return gaussian_target(ugly_mean(12) / 12, ugly_covariance(12, 1e4))


def test_same_key_same_result_and_another_key_another(gaussian_problem, seed):
    """Catches: draws that depend on the clock or a global generator, or not on the key."""
    first, second, third = (run(named_key(seed, name), gaussian_problem, Staged()) for name in ("a", "a", "b"))
    assert _same_state(first, second)
    assert not _same_state(first, third)


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_a_fit_resumed_after_some_steps_equals_one_run(steps, key):
    """Catches: a step whose draws depend on how many steps this call made; a state that leaves something out."""
    target = banana_target()
    whole = run(key, target, Staged())
    state = Staged().init(key, target)
    for number in range(steps):
        if state.stage == "done":
            break
        state, _ = Staged().step(fold_key(key, 1, number), target, state)
    assert _same_state(run(key, target, Staged(), state=state), whole)


def test_a_fit_resumed_from_its_result_equals_one_run(key):
    """As the docstring of `FitResult` promises. Catches: a result at the step limit whose state is final."""
    target = banana_target()
    whole = run(key, target, Staged())
    part = run(key, target, Staged(), max_steps=15)
    assert part.status is FitStatus.max_steps
    assert _same_state(run(key, target, Staged(), state=part.state), whole)


def test_the_step_limit_is_a_status_with_fresh_evidence(key):
    """Catches: an exception, a verdict of trust, or evidence missing."""
    for limit in (3, 9, 20):
        result = run(key, banana_target(), Staged(), max_steps=limit)
        assert result.status is FitStatus.max_steps
        assert result.verdict != "trust"


@pytest.mark.parametrize("family", [Diagonal(), LowRank(rank=3), Dense()], ids=["diagonal", "low rank", "dense"])
def test_the_family_is_that_which_was_asked_for(family, gaussian_problem, key):
    """Catches: an algorithm that answers in another family."""
    result = run(key, gaussian_problem, Staged(family=family))
    assert type(result.gaussian.metric).__name__ == type(family).__name__ + "Metric"
    assert (result.verdict == "trust") == isinstance(family, Dense), result.reasons


@pytest.mark.parametrize("number", range(5))
def test_a_funnel_is_never_trusted(number, seed):
    """Catches: a verdict from the fit's own optimism. funnel_10, five keys each run."""
    result = run(named_key(seed, f"funnel {number}"), funnel_target(10), Staged())
    assert result.verdict != "trust", result


def test_a_flat_direction_ends_diverged(key):
    """Catches: a posterior without spread that is reported as settled; a failure to end."""
    result = run(key, flat_direction_target(3), Staged())
    assert result.status is FitStatus.diverged
    assert result.verdict == "do not use"


def test_no_finite_start_is_a_status_with_its_cost(key):
    """Catches: an exception, an endless loop, gradients of failed starts not counted."""
    result = run(key, nowhere_finite_target(), Staged())
    assert result.status is FitStatus.no_finite_start
    assert result.gaussian is None and result.verdict == "do not use"
    assert result.cost.gradients == 8 + 24 + 24 == result.repairs.nonfinite_points


def test_throw_raises_where_nothing_was_found(key):
    """Catches: a keyword that does nothing."""
    from monochord import MonochordError

    with pytest.raises(MonochordError, match="no start"):
        run(key, nowhere_finite_target(), Staged(), throw=True)


@pytest.mark.parametrize("number", range(2))
def test_every_gradient_is_counted(number, gaussian_problem, key, monkeypatch):
    """An independent count of points evaluated. Catches: a stage that forgets to charge."""
    from monochord.fits import _modes, _score, _staged, _starts

    evaluated = []

    def counting(target, x):
        evaluated.append(len(np.atleast_2d(x)))
        return evaluate(target, x)

    for module in (_score, _starts, _modes, _staged):
        monkeypatch.setattr(module, "evaluate", counting)
    result = run(key, (gaussian_problem, banana_target(curvature=0.02))[number], Staged())
    assert sum(evaluated) == result.cost.gradients
    assert result.cost.idle_lanes == sum(-count % 8 for count in evaluated)


def test_evidence_is_of_draws_made_after_the_last_update(gaussian_problem, key):
    """ELBO of an exact fit is the log normaliser, with no spread. Catches: a constant lost in log p − log q."""
    result = run(key, gaussian_problem, Staged())
    data = gaussian_problem.traced_data
    expected = 6.0 * np.log(2 * np.pi) - np.linalg.slogdet(data["inverse_factor"])[1]
    assert result.elbo.value == pytest.approx(expected, abs=0.05)
    assert result.elbo.num_draws == 64
    exact = Gaussian(
        data["mean"], DenseMetric.from_covariance(np.linalg.inv(data["inverse_factor"].T @ data["inverse_factor"]))
    )
    assert exact.kl(result.gaussian) < 0.02


def test_given_starts_are_used(gaussian_problem, key):
    """Catches: `initial` ignored."""
    start = np.full((1, 12), 0.25)
    state = Staged().init(key, gaussian_problem, start)
    assert len(state.searches) == 1
    np.testing.assert_array_equal(state.searches[0].x, start[0])
    assert state.cost.gradients == 1


def test_callback_sees_every_step_and_costs_never_shrink(gaussian_problem, key):
    """Catches: a trace with holes."""
    seen = []
    result = run(key, gaussian_problem, Staged(), callback=seen.append)
    assert tuple(seen) == result.trace
    assert [info.step for info in seen] == list(range(1, len(seen) + 1))
    assert np.all(np.diff([info.gradients for info in seen]) >= 0)
    assert seen[-1].gradients == result.cost.gradients and seen[-1].stage == "check"
