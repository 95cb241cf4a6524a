"""What a draw costs: jittered HMC by the spectrum, NUTS by its U-turn clock, and what no metric can mend."""

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.spectra import (
    Modes,
    best_trajectory,
    correlations,
    first_u_turn,
    hmc_cost,
    langmore_number,
    nuts_cost,
    squared_frequencies,
    step_size_for,
)
from monochord.targets import callable_target, hessians
from monochord.testing import assert_mean_close


def _lag_cost(block, z):
    """Leapfrogs times (1 + ρ)/(1 − ρ), ρ the lag-1 correlation of `z` (chains, draws), with the standard error.

    `z` has mean 0 and variance 1 at stationarity, where the independent chains start: ρ is a mean of products.
    """
    products = (z[:, 1:] * z[:, :-1]).mean(1) - (z**2).mean(1)  # ρ − 1, without the noise of the chains' variances
    gap, error = -products.mean(), products.std(ddof=1) / np.sqrt(len(z))
    leapfrogs = block.num_steps.mean()
    cost = leapfrogs * (2 - gap) / gap
    return cost, np.hypot(
        2 * leapfrogs * error / gap**2, cost * block.num_steps.mean(1).std() / leapfrogs / len(z) ** 0.5
    )


def _modes(frequencies):
    squared = np.sort(np.asarray(frequencies, dtype=np.float64) ** 2)
    return Modes(squared, np.ones(len(squared)))


SPECTRA = {
    "log-uniform to κ 1e2": np.geomspace(1.0, 10.0, 100),
    "log-uniform to κ 1e4": np.geomspace(1.0, 100.0, 100),
    "99 fast and 1 slow": np.r_[1.0, np.full(99, 20.0)],
}


@pytest.mark.statistical
@pytest.mark.parametrize(
    "name", [list(SPECTRA)[0], *(pytest.param(name, marks=pytest.mark.nightly) for name in list(SPECTRA)[1:])]
)
def test_cost_law(name, simulate, diagonal_gaussian, ugly_scale, ugly_mean, rng):
    """Gradients per effective draw of jittered HMC are what `hmc_cost` says, for x and for x².

    For x of the slowest direction that is 2.8 κ_L. 512 stationary chains of 100 draws; false-fail 1e-6, an error of
    25 % (45 % for squares) missed with 1e-3. Catches: rejections left out of the correlation, another mean length than `best_trajectory`,
    E cos² of another jitter. Control: the cost without rejections, 1.5 times less, is rejected.
    """
    omega = SPECTRA[name]
    scale, mean = ugly_scale(100) / omega, ugly_mean(100)
    metric = DiagonalMetric(ugly_scale(100))
    squared = squared_frequencies(metric, np.diag(scale**-2))
    np.testing.assert_allclose(np.sqrt(squared), omega, rtol=1e-9)
    cost = hmc_cost(_modes(omega), 0.8)
    length, jitter = best_trajectory(omega, 0.8)
    assert jitter == 0.5, "the theory's simulation below draws lengths with this jitter"
    slow = 1 - 0.8 * (1 - correlations(omega[:1], length, jitter)[0][0])
    draws = (1 + slow) / (1 - slow)
    # to leading order ε = 2^(7/4) √z / ν with z = Φ⁻¹(.6), and the cost is length/ε draws
    leading = length * omega.min() * draws / (2**1.75 * 0.2533471**0.5)
    starts = mean + scale * rng.standard_normal((512, 100))
    slowest = length / cost.step_size * draws
    assert slowest / langmore_number(squared) == pytest.approx(leading, rel=0.06)
    block = simulate(diagonal_gaussian(mean, scale), metric, starts, "hmc", 100, cost.step_size, length)
    z = (block.x - mean) / scale
    phases = np.multiply.outer(length * (0.5 + (np.arange(2000) + 0.5) / 2000), omega)
    worst = int(np.argmax(np.mean(np.cos(phases), axis=0)))
    worst_square = int(np.argmax(np.mean(np.cos(phases) ** 2, axis=0)))
    squares = (z[:, :, worst_square] ** 2 - 1) / np.sqrt(2)
    for values, predicted, share in (
        (z[:, :, 0], slowest, 0.25),
        (z[:, :, worst], cost.draw, 0.25),
        (squares, cost.square, 0.45),
    ):
        limits = {"expected_error": 0.005 * predicted, "must_detect": share * predicted}
        assert_mean_close(*_lag_cost(block, values), predicted, **limits)
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(*_lag_cost(block, z[:, :, 0]), slowest / 1.5, must_detect=0.25 * slowest)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "name", [list(SPECTRA)[0], *(pytest.param(name, marks=pytest.mark.nightly) for name in list(SPECTRA)[1:])]
)
def test_cost_law_of_uniform_lengths(name, rng):
    """Lengths uniform on (0, 2τ), τω_min = 1.975, acceptance .8: (τ/ε + ½)(1 + ρ_a)/(1 − ρ_a), near 1.3 κ_L.

    The jitter of theory, by a leapfrog written here (the sampler's own jitter is another); the step size is the library's.
    ρ_a = 1 − a(1 − ρ), ρ = sin(2ωτ)/(2ωτ). 60,000 stationary transitions; false-fail 1e-6, an error of 15 %
    missed with 1e-3. Catches: a step size for another acceptance, ½ for sin² where it is not. Control: 1.3 times the law.
    """
    omega = SPECTRA[name]
    step, tau = step_size_for(omega, 0.8), 1.975 / omega.min()
    angle = 2 * omega.min() * tau
    slowed = 1 - 0.8 * (1 - np.sin(angle) / angle)
    predicted = (tau / step + 0.5) * (1 + slowed) / (1 - slowed)
    assert predicted / langmore_number(omega**2) == pytest.approx(1.3, abs=0.1)
    x = rng.standard_normal((60_000, 100)) / omega
    counts = np.ceil(rng.uniform(0, 2 * tau, len(x)) / step).astype(int)
    end, gain = _leapfrogs(x, rng.standard_normal(x.shape), omega, step, counts)
    accept = np.minimum(1.0, np.exp(gain))
    assert accept.mean() == pytest.approx(0.8, abs=0.02)
    gaps = accept * (omega[0] * (end[:, 0] - x[:, 0])) ** 2 / 2  # of mean 1 − ρ_a
    gap, leapfrogs = gaps.mean(), counts.mean()
    cost = leapfrogs * (2 - gap) / gap
    error = 2 * leapfrogs * gaps.std(ddof=1) / np.sqrt(len(x)) / gap**2
    assert_mean_close(cost, error, predicted, expected_error=0.01 * predicted, must_detect=0.15 * predicted)
    with pytest.raises(AssertionError, match="differs"):
        assert_mean_close(cost, error, 1.3 * predicted, must_detect=0.15 * predicted)


def _leapfrogs(x, p, omega, step, counts):
    """End points after `counts` leapfrogs of each chain, and H(start) − H(end)."""
    start = 0.5 * np.sum((omega * x) ** 2 + p**2, axis=1)
    end, energy = x.copy(), start.copy()
    order = np.argsort(-counts)  # the chains still on their way come first
    x, p = x[order], p[order] - 0.5 * step * omega**2 * x[order]
    ordered = counts[order]
    for done in range(1, int(counts.max()) + 1):
        active = int(np.searchsorted(-ordered, -done, side="right"))
        x[:active] += step * p[:active]
        p[:active] -= step * omega**2 * x[:active]
        stop = slice(int(np.searchsorted(-ordered, -done, side="left")), active)
        at_end = p[stop] + 0.5 * step * omega**2 * x[stop]
        end[order[stop]] = x[stop]
        energy[order[stop]] = 0.5 * np.sum((omega * x[stop]) ** 2 + at_end**2, axis=1)
    return end, start - energy


@pytest.mark.parametrize(
    ("frequencies", "root"),
    [
        (np.full(7, 2.5), np.pi / 2.5),
        (np.r_[np.full(99, 10.0), 1.0], 0.3173114),
        (np.r_[np.full(99, 100.0), 1.0], 0.0317365),
        (np.geomspace(1, 100, 100), 2.2161876),
        (np.r_[np.ones(75), np.full(25, 1 / 16)], 47.984004),
    ],
)
def test_nuts_clock(frequencies, root):
    """The first U-turn of many modes is the first root of Σ sin(ωᵢT)/ωᵢ: the bulk's half period, unless many are slow.

    Catches: ω² for ω, a weight ω in place of 1/ω, a root stepped over.
    """
    assert first_u_turn(frequencies) == pytest.approx(root, rel=1e-6)
    assert first_u_turn(3.0 * frequencies) == pytest.approx(root / 3, rel=1e-6)


def test_nuts_clock_threshold():
    """A share f of infinitely slow modes is seen by the U-turn iff f > .178465: (1 − f) sin T + fT has no root.

    The least f/(1 − f) is the maximum of −sin T/T, at tan T = T. Catches: a share of variance in place of modes.
    """
    turn = brentq(lambda time: np.sin(time) - time * np.cos(time), np.pi, 1.5 * np.pi)
    ratio = -np.sin(turn) / turn
    threshold = ratio / (1 + ratio)
    assert threshold == pytest.approx(0.178465, abs=5e-7)
    for slow, is_seen in ((170, False), (187, True)):  # nearer to the threshold the root is too narrow for a scan
        frequencies = np.r_[np.ones(1000 - slow), np.full(slow, 1e-3)]
        assert (first_u_turn(frequencies) > 100) == is_seen


@pytest.mark.statistical
@pytest.mark.parametrize("kappa", [64, pytest.param(256, marks=pytest.mark.nightly)])
def test_nuts_clock_costs(kappa, simulate, diagonal_gaussian, ugly_scale, ugly_mean, rng):
    """NUTS pays κ for one slow direction and √κ for 25 of 100: from κ/4 to κ the cost grows ×4 against ×2.

    Whitened but for them, step size of the closed form; 64 chains of 100 draws. The two growths are
    told apart by three standard errors: each is the other's control. Catches: trees that do not stop at the bulk's U-turn.
    """
    growth = {}
    for slow in (1, 25):
        logs, variance = [], 0.0
        for value in (kappa / 4, kappa):
            omega = np.ones(100)
            omega[:slow] = value**-0.5
            scale, mean = ugly_scale(100) / omega, ugly_mean(100)
            target, metric = diagonal_gaussian(mean, scale), DiagonalMetric(ugly_scale(100))
            predicted = nuts_cost(_modes(omega), 0.8)
            starts = mean + scale * rng.standard_normal((64, 100))
            stream = int(slow * value)
            block = simulate(target, metric, starts, "nuts", 100, predicted.step_size, max_tree_depth=8, stream=stream)
            cost, error = _lag_cost(block, (block.x[:, :, 0] - mean[0]) / scale[0])
            if slow == 1:
                assert abs(np.log(cost / predicted.draw)) < np.log(1.35) + 5 * error / cost
                assert cost > 2 * hmc_cost(_modes(omega), 0.8).draw, "jittered HMC is several times cheaper here"
            logs.append(np.log(cost))
            variance += (error / cost) ** 2
        growth[slow] = (logs[1] - logs[0], np.sqrt(variance))
    (one, one_error), (many, many_error) = growth[1], growth[25]
    assert one - many > 3 * np.hypot(one_error, many_error)
    assert np.log(3) - 5 * one_error < one < np.log(5.5) + 5 * one_error
    assert np.log(1.4) - 5 * many_error < many < np.log(2.6) + 5 * many_error


def test_nuts_resonance(simulate, diagonal_gaussian, ugly_scale, ugly_mean, rng):
    """Whitened, d = 250: (2ʲ − 1)ε near 2π lets a tree without checks across subtrees miss its U-turn; ours has them.

    Mean leapfrogs stay below 20 at every step size. Control: BlackJAX's own NUTS, without the checks, needs far more.
    """
    scale, mean = ugly_scale(250), ugly_mean(250)
    target = diagonal_gaussian(mean, scale)
    starts = mean + scale * rng.standard_normal((8, 250))
    for stream, step_size in enumerate((0.40, 0.405, 0.41, 0.415, 0.418, 0.421, 0.425, 0.43, 0.435, 0.44, 0.445, 0.45)):
        block = simulate(target, DiagonalMetric(scale), starts, "nuts", 20, step_size, stream=stream)
        assert 6 < block.num_steps.mean() < 20, step_size
    theirs = blackjax.nuts(target.log_density, 0.421, scale**2)

    def body(state, key):
        state, info = theirs.step(key, state)
        return state, info.num_integration_steps

    keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), (8, 20))
    run = jax.jit(lambda x, keys: jax.lax.map(lambda c: jax.lax.scan(body, theirs.init(c[0]), c[1])[1], (x, keys)))
    assert float(run(jnp.asarray(starts), keys).mean()) > 30


def _unpreconditionable(params, low, high):
    x = params["x"]
    return -(low - high) / 2 * jnp.sum(jnp.cos(x)) - (low + high) / 4 * jnp.sum(x**2)


def test_hird_livingstone(random_spd, rng):
    """U = ((m − L)/2) Σ cos xᵢ + ((m + L)/4)|x|²: sup λmax / inf λmin of ΣH(x) is (L/m) κ(Σ) for every metric Σ.

    The Hessian is diag(a, b) with all a, b in [m, L], so that no metric beats the identity (Hird & Livingstone 2025, eq. 7).
    Catches: Hessians with a sign or a coordinate lost. Control: some metric does help the Gaussian of the same mean H.
    """
    low, high = 0.3, 4.1
    data = {"low": np.asarray(low), "high": np.asarray(high)}
    target = callable_target(_unpreconditionable, {"x": np.zeros(2)}, data)
    axis = np.linspace(0.0, 2 * np.pi, 9)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    found = hessians(target, np.concatenate([grid, rng.uniform(-9, 9, (40, 2))]))
    np.testing.assert_allclose(found[:, 0, 1], 0.0, atol=1e-12)
    diagonals = np.diagonal(found, axis1=1, axis2=2)
    assert (diagonals.min(), diagonals.max()) == (pytest.approx(low), pytest.approx(high))
    for _ in range(20):
        metric = DenseMetric.from_covariance(random_spd(2, 1.0))
        each = np.array([squared_frequencies(metric, hessian) for hessian in found])
        own = squared_frequencies(metric, np.eye(2))
        assert each.max() / each.min() == pytest.approx(high / low * own[-1] / own[0], rel=1e-8)
    mean = DiagonalMetric(np.sqrt(1 / np.array([low, high])))
    constant = squared_frequencies(mean, np.diag([low, high]))
    assert constant[-1] / constant[0] == pytest.approx(1.0)
