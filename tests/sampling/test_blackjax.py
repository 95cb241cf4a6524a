"""The engine under our metrics: its own kinetic energy, block-independent draws, and invariance with a control."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.mcmc.metrics import gaussian_euclidean

from monochord.arrays import fold_key
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.sampling import _blackjax
from monochord.sampling._blackjax import BlockSpec, Position, engine_metric, run_block
from monochord.spectra import squared_frequencies
from monochord.targets import evaluate
from monochord.testing import assert_moments_close, gaussian_target

DIM, CHAINS, DRAWS = 3, 256, 100


def _metric(name, covariance):
    """Metrics that fit the target roughly, as in real use."""
    scale = np.sqrt(np.diag(covariance)) * np.array([0.6, 1.5, 0.9])
    if name == "diagonal":
        return DiagonalMetric(scale)
    if name == "dense":
        return DenseMetric.from_covariance(covariance + 0.5 * np.diag(scale**2))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    return LowRankMetric(scale, vectors[:, [0, 2]], values[[0, 2]] * np.array([1.5, 0.7]))


@pytest.fixture
def problem(ugly_covariance, ugly_mean):
    """Correlated, with scales unequal but mild: under the planted bug chains must still mix, or errors hide it."""
    mean, covariance = ugly_mean(DIM), ugly_covariance(DIM, 8.0)
    rescale = np.array([0.7, 1.2, 1.7]) / np.sqrt(np.diag(covariance))
    covariance = covariance * np.outer(rescale, rescale)
    return gaussian_target(mean, covariance), mean, covariance


@pytest.mark.parametrize("name", ["diagonal", "dense"])
def test_engine_metric_agrees_with_blackjax(name, problem, rng):
    """Kinetic energy, turning check and scaling equal `gaussian_euclidean` of the same Σ. Catches: Σ passed as Σ⁻¹,
    whitening by the wrong factor."""
    metric = _metric(name, problem[2])
    inverse_mass = jnp.asarray(metric.diagonal() if name == "diagonal" else metric.dense())
    theirs, ours = gaussian_euclidean(inverse_mass), engine_metric(metric)
    momenta = metric.unwhiten_covector(rng.standard_normal((400, 3, DIM)))
    momenta[:, 2] += 0.5 * (momenta[:, 0] + momenta[:, 1])  # so that both answers occur

    def both(engine):
        return jax.vmap(lambda p: (engine.kinetic_energy(p[0]), engine.check_turning(p[0], p[1], p[2])))(momenta)

    (energy, turning), (their_energy, their_turning) = both(ours), both(theirs)
    np.testing.assert_allclose(energy, their_energy, rtol=1e-10)
    np.testing.assert_array_equal(turning, their_turning)
    assert 0.1 < np.mean(turning) < 0.9
    for inv in (False, True):
        for trans in (False, True):
            np.testing.assert_allclose(
                ours.scale(None, momenta[0, 0], inv=inv, trans=trans),
                theirs.scale(None, jnp.asarray(momenta[0, 0]), inv=inv, trans=trans),
                rtol=1e-8,
            )


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["diagonal", "dense", "low rank"])
def test_momenta_have_the_precision_as_covariance(name, problem, key):
    """p ~ N(0, Σ⁻¹). Catches: momentum drawn with Σ; the control beside it must fail."""
    metric = _metric(name, problem[2])
    keys = jax.random.split(key, 20_000)
    momenta = np.asarray(jax.vmap(lambda k: engine_metric(metric).sample_momentum(k, jnp.zeros(DIM)))(keys))[:, None]
    limits = {"must_detect": 0.08, "must_detect_square": 0.12}
    assert_moments_close(momenta, 0.0, metric.solve(np.eye(DIM)), **limits)
    with pytest.raises(AssertionError, match="differs"):
        assert_moments_close(momenta, 0.0, metric.dense(), **limits)


def _chains(problem, metric, key, rng, spec):
    """Draws (chains, draws, dim) of chains that each start at an exact draw of the target."""
    target, mean, covariance = problem
    frequencies = np.sqrt(squared_frequencies(metric, np.linalg.inv(covariance)))
    step_size, length = 1.0 / frequencies[-1], 1.3 / frequencies[0]
    starts = evaluate(target, mean + rng.standard_normal((CHAINS, DIM)) @ np.linalg.cholesky(covariance).T)
    metric = jax.tree.map(jnp.asarray, metric)
    draws = []
    for chain in range(CHAINS):
        position = Position(*(jnp.asarray(part[chain]) for part in starts))
        _, block = run_block(target, metric, position, fold_key(key, chain), 0, DRAWS, step_size, length, spec=spec)
        draws.append(np.asarray(block.x)[:DRAWS])
    return np.stack(draws)


LIMITS = {"must_detect": 0.12, "must_detect_square": 0.16}


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
@pytest.mark.parametrize("name", ["diagonal", "dense", "low rank"])
def test_kernels_leave_a_correlated_gaussian_invariant(kernel, name, problem, key, rng):
    """Means and second moments over 256 stationary chains; the standard error is that of chain means.
    Catches: any error in momentum, energy, velocity or jitter that moves the stationary law."""
    _, mean, covariance = problem
    draws = _chains(problem, _metric(name, covariance), key, rng, BlockSpec(kernel, DRAWS, 6))
    assert np.mean(np.any(np.diff(draws, axis=1) != 0, axis=2)) > 0.5, "the chains do not move"
    assert_moments_close(draws, mean, covariance, **LIMITS)


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_momentum_of_the_inverted_metric_is_caught(kernel, problem, key, rng, monkeypatch):
    """Negative control: the same test with p ~ N(0, Σ) in place of N(0, Σ⁻¹) must fail."""
    right = _blackjax.engine_metric

    def planted(metric):
        def sample_momentum(key, position):
            return metric.unwhiten(jax.random.normal(key, position.shape, position.dtype))

        return right(metric)._replace(sample_momentum=sample_momentum)

    monkeypatch.setattr(_blackjax, "engine_metric", planted)
    _, mean, covariance = problem
    spec = BlockSpec(kernel, DRAWS + 1, 6)  # another capacity: nothing compiled with the right metric is reused
    draws = _chains(problem, _metric("diagonal", covariance), key, rng, spec)
    with pytest.raises(AssertionError, match="differs"):
        assert_moments_close(draws, mean, covariance, **LIMITS)


@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_draws_do_not_depend_on_how_they_are_cut_into_blocks(kernel, problem, key):
    """Bit for bit, and rows beyond the count stay zero. Catches: keys split once a block, a block that loses its last state."""
    target, mean, covariance = problem
    metric = jax.tree.map(jnp.asarray, _metric("diagonal", covariance))
    start = Position(*(jnp.asarray(part[0]) for part in evaluate(target, mean[None] + 0.1)))
    spec = BlockSpec(kernel, DRAWS, 6)

    def draw(position, first, count):
        return run_block(target, metric, position, key, first, count, 0.7, 1.8, spec=spec)

    end, whole = draw(start, 0, 29)
    assert not np.any(np.asarray(whole.x)[29:])
    parts, position, first = [], start, 0
    for count in (1, 7, 21):
        position, block = draw(position, first, count)
        parts.append(jax.tree.map(lambda field, count=count: np.asarray(field)[:count], block))
        first += count
    for name in whole._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, np.asarray(getattr(whole, name))[:29], err_msg=name)
    for one, other in zip(end, position, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({tuple(row) for row in np.asarray(whole.x)[:29]}) > 10


def test_blocks_report_what_the_density_says(problem, key):
    """Log density, score and energy of the draws themselves. Catches: statistics shifted by one iteration."""
    target, mean, covariance = problem
    metric = jax.tree.map(jnp.asarray, _metric("diagonal", covariance))
    start = Position(*(jnp.asarray(part[0]) for part in evaluate(target, mean[None] + 0.1)))
    _, block = run_block(target, metric, start, key, 0, 40, 0.7, 1.8, spec=BlockSpec("nuts", DRAWS, 6))
    expected = evaluate(target, np.asarray(block.x)[:40])
    np.testing.assert_allclose(block.log_density[:40], expected.log_density, rtol=1e-10)
    np.testing.assert_allclose(block.score[:40], expected.score, rtol=1e-8)
    assert np.all(np.asarray(block.energy)[:40] >= -expected.log_density - 1e-9), "energy below potential"
    steps = np.asarray(block.num_steps)[:40]
    assert np.all((steps >= 1) & (steps <= 63)) and len(set(steps.tolist())) > 1
    assert np.all((np.asarray(block.acceptance)[:40] >= 0) & (np.asarray(block.acceptance)[:40] <= 1))
