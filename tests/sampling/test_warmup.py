"""Warm-up: where it stops, what it learns, what it keeps, and that modes keep their own metrics."""

import jax.numpy as jnp
import numpy as np
import pytest

from monochord.arrays import host_generator
from monochord.gaussian import Gaussian
from monochord.learning import refiner
from monochord.metrics import Dense, DenseMetric, Diagonal, identity_metric
from monochord.sampling import SamplerSettings, Start, _warmup, run_chains
from monochord.sampling._budget import Budget
from monochord.sampling._chains import Chains
from monochord.sampling._pool import MAX_WINDOW, POOL_POINTS
from monochord.sampling._warmup import WarmUpRun
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import callable_target, evaluate
from monochord.testing import gaussian_target

DIM = 4


@pytest.fixture
def problem(ugly_covariance, ugly_mean):
    covariance, mean = ugly_covariance(DIM, 30.0), ugly_mean(DIM)
    rescale = np.exp(np.linspace(1.0, -1.0, DIM)) / np.sqrt(np.diag(covariance))
    covariance = covariance * np.outer(rescale, rescale)
    return gaussian_target(mean, covariance), mean, covariance


def _settings(**changes) -> SamplerSettings:
    base = {
        "num_chains": 4, "num_draws": 50, "kernel": "nuts", "target_accept": 0.8, "max_tree_depth": 8, "is_trusted": False,
        "residual": 0.0, "refine": refiner((Diagonal(), Dense())),
    }  # fmt: skip
    return SamplerSettings(**(base | changes))


def _warm(key, target, starts, settings) -> tuple[WarmUpRun, float]:
    points = [start.points for start in starts]
    joined = type(points[0])(*(np.concatenate(fields) for fields in zip(*points, strict=True)))
    chains = Chains(target, joined, key, settings.max_tree_depth)
    run = WarmUpRun(chains, starts, settings, Budget(), host_generator(key))
    try:
        return run, run.run()
    finally:
        chains.close()


def _kappa(metric, covariance) -> float:
    return condition_number(squared_frequencies(metric, np.linalg.inv(covariance)))


@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_a_trusted_metric_costs_one_look(kernel, problem, key, rng):
    """10 or 20 iterations, plus corrections of the step size in steps of 20. Catches: a fixed warm-up, dual averaging
    where the closed form is right."""
    target, mean, covariance = problem
    fit = Gaussian(mean, DenseMetric.from_covariance(covariance))
    start = Start(evaluate(target, fit.sample(rng, 4)), fit, fit.metric)
    run, acceptance = _warm(key, target, [start], _settings(kernel=kernel, is_trusted=True))
    assert run.iterations <= 60
    assert abs(acceptance - 0.8) < 0.1
    assert run.num_refinements == 0
    assert run.groups[0].tuning.metric is fit.metric


def test_an_identity_start_learns_and_stops_by_evidence(problem, key, rng):
    """κ from 30 and more to nearly 1, in fewer iterations than the limit. Catches: a metric that is never refined, a
    warm-up that always runs to its end, a step size left where it was."""
    target, mean, covariance = problem
    unit = Gaussian(mean, identity_metric(DIM))
    start = Start(evaluate(target, rng.uniform(-2, 2, (4, DIM))), unit, unit.metric, knows_scale=False)
    run, acceptance = _warm(key, target, [start], _settings())
    assert _kappa(unit.metric, covariance) > 30
    assert _kappa(run.groups[0].tuning.metric, covariance) < 1.1
    assert run.iterations < 400
    assert abs(acceptance - 0.8) < 0.1
    assert run.groups[0].is_settled


def test_refinements_that_prove_nothing_on_new_draws_end_warm_up(problem, key, rng, monkeypatch):
    """Each refinement gains on the draws it was made from, and nothing on the next ones. Catches: a warm-up that goes to its limit
    for gains of the first kind, as dense metrics have with as many directions as draws."""
    target, mean, covariance = problem
    made = []

    def refine(gaussian, points, places):
        made.append(DenseMetric.from_covariance(covariance))
        return Gaussian(mean, made[-1])

    def gain(before, after, points):
        return 2.0 if any(after is new for new in made[-2:]) else 1.0  # a window refines twice

    monkeypatch.setattr(_warmup, "_gain", gain)
    unit = Gaussian(mean, identity_metric(DIM))
    start = Start(evaluate(target, mean + rng.standard_normal((4, DIM))), unit, unit.metric)
    run, _ = _warm(key, target, [start], _settings(refine=refine))
    assert run.groups[0].is_settled
    assert run.num_refinements == _warmup.ENOUGH_IDLE


def test_memory_of_warm_up_does_not_grow(problem, key, rng, monkeypatch):
    """Nothing is ever settled, so warm-up runs to its limit: the pool holds no more than its bound and one window.
    Catches: a pool of all draws."""
    target, mean, _ = problem
    unit = Gaussian(mean, identity_metric(DIM))
    start = Start(evaluate(target, rng.uniform(-2, 2, (4, DIM))), unit, unit.metric, knows_scale=False)
    monkeypatch.setattr(_warmup, "AGREEING_ESS", np.inf)
    monkeypatch.setattr(_warmup, "ENOUGH_IDLE", np.inf)
    sizes = []
    original = WarmUpRun._refine

    def watched(self, group, newest, refine):
        original(self, group, newest, refine)
        sizes.append(sum(segment.acceptance.size for segment in group.pool))

    monkeypatch.setattr(WarmUpRun, "_refine", watched)
    run, _ = _warm(key, target, [start], _settings(max_tree_depth=6))
    assert run.iterations > 800
    assert max(sizes) <= POOL_POINTS + 4 * MAX_WINDOW
    assert max(sizes[len(sizes) // 2 :]) <= max(sizes[: len(sizes) // 2]) * 4


def test_a_stated_step_size_stays(problem, key, rng):
    target, mean, covariance = problem
    fit = Gaussian(mean, DenseMetric.from_covariance(covariance))
    start = Start(evaluate(target, fit.sample(rng, 4)), fit, fit.metric)
    for trusted in (True, False):
        run, _ = _warm(key, target, [start], _settings(step_size=0.123, is_trusted=trusted))
        assert run.groups[0].tuning.step_size == 0.123


def _two_normals(params, centres, factors):
    parts = [
        -0.5 * jnp.sum((factors[i] @ (params["x"] - centres[i])) ** 2) + jnp.linalg.slogdet(factors[i])[1]
        for i in (0, 1)
    ]
    return jnp.logaddexp(parts[0], parts[1])


def test_separate_modes_keep_separate_metrics(key, rng):
    """Two normals 80 deviations apart, one stretched along x₀ and one along x₁. Catches: a pooled metric, which would be as
    wide as the gap."""
    centres = np.array([[-40.0, 0.0], [40.0, 3.0]])
    sds = np.array([[2.0, 0.2], [0.3, 1.7]])
    target = callable_target(_two_normals, {"x": np.zeros(2)}, {"centres": centres, "factors": np.stack([np.diag(1 / s) for s in sds])})  # fmt: skip
    starts = []
    for centre, count in zip(centres, (3, 1), strict=True):
        there = Gaussian(centre, identity_metric(2))
        starts.append(Start(evaluate(target, there.sample(rng, count) * 0.2 + 0.8 * centre), there, there.metric, knows_scale=False))  # fmt: skip
    run, _ = _warm(key, target, starts, _settings())
    for group, sd in zip(run.groups, sds, strict=True):
        np.testing.assert_allclose(np.sqrt(np.asarray(group.tuning.metric.diagonal())), sd, rtol=0.35)
    drawn = run_chains(key, target, starts, _cost(), _settings(num_draws=400, target_ess=100.0))
    assert drawn.standing.is_split
    assert [tuple((chains.start, chains.stop)) for chains in drawn.standpoint.groups] == [(0, 3), (3, 4)]


def _cost():
    from monochord.cost import Cost

    return Cost()


def _narrow_beyond(params, width):
    """A normal whose left half is 100 times as narrow across: a step size for the right half is unstable there."""
    x, y = params["x"], params["y"]
    scale = jnp.where(x < -1.0, width, 1.0)
    return -0.5 * x**2 - 0.5 * (y / scale) ** 2 - jnp.log(scale)


def test_a_stuck_chain_sends_the_run_back(key):
    """One chain begins in the narrow half, three in the wide one. Catches: a chain that rejects nearly everything among kept
    draws, gradients of given-up draws that vanish from the count."""
    target = callable_target(_narrow_beyond, {"x": 0.0, "y": 0.0}, {"width": np.asarray(0.01)})
    unit = Gaussian(np.zeros(2), identity_metric(2))
    x = np.array([[-1.5, 0.001], [0.5, 0.3], [1.0, -0.4], [0.2, 0.9]])
    settings = _settings(is_trusted=True, refine=None, raises_accept=True, num_draws=150)
    drawn = run_chains(key, target, [Start(evaluate(target, x), unit, unit.metric)], _cost(), settings)
    assert drawn.warmup.num_restarts > 0
    assert drawn.warmup.gradients > 4 * 100
    assert float(np.min(drawn.segment.acceptance.mean(axis=1))) > 0.4
