"""The step-size law against a leapfrog written here, and closed forms."""

import numpy as np
import pytest

from monochord.metrics import DenseMetric
from monochord.spectra import (
    acceptance_of,
    corrected_step_size,
    expected_acceptance,
    mean_energy_error,
    squared_frequencies,
    step_size_for,
)
from monochord.spectra._step_size import hmc_step_counts


def _leapfrog_matrix(metric, hessian, step):
    """The kick-drift-kick map of (x, p) for U = ½xᵀHx and kinetic energy ½pᵀΣp."""
    dim = len(hessian)
    identity, zero = np.eye(dim), np.zeros((dim, dim))
    kick = np.block([[identity, zero], [-0.5 * step * hessian, identity]])
    drift = np.block([[identity, step * np.asarray(metric.dense())], [zero, identity]])
    return kick @ drift @ kick


@pytest.fixture
def system(ugly_covariance, rng):
    """A dense metric and a Hessian that do not commute, dim 4."""
    metric = DenseMetric.from_covariance(ugly_covariance(4))
    root = rng.standard_normal((4, 6))
    white = root @ root.T / 6 + 0.2 * np.eye(4)
    half = metric.unwhiten_covector(white)
    return metric, metric.unwhiten_covector(half.T)


def test_leapfrog_is_stable_exactly_below_two_over_the_largest_frequency(system):
    """Check 1: spectral radius 1 below, (f + √(f² − 1))² above. Ties `squared_frequencies` to the dynamics."""
    metric, hessian = system
    limit = 2.0 / np.sqrt(squared_frequencies(metric, hessian)[-1])
    for factor, radius in ((0.999, 1.0), (1.0001, 1.028687), (1.01, 1.326584)):
        values = np.linalg.eigvals(_leapfrog_matrix(metric, hessian, factor * limit))
        assert np.abs(values).max() == pytest.approx(radius, abs=1e-4)
        unstable = mean_energy_error(np.sqrt(squared_frequencies(metric, hessian)), factor * limit, None) == np.inf
        assert unstable == (factor > 1)


def test_energy_error_identity_of_the_leapfrog(system, rng):
    """Check 2: ΔH = ε²/8 (‖Lᵀg_L‖² − ‖Lᵀg₀‖²), on which the law rests."""
    metric, hessian = system
    step = 1.3 / np.sqrt(squared_frequencies(metric, hessian)[-1])
    one = _leapfrog_matrix(metric, hessian, step)

    def energy(x, p):
        return 0.5 * x @ hessian @ x + 0.5 * p @ metric.matvec(p), np.sum(metric.whiten_covector(hessian @ x) ** 2)

    for steps in (1, 3, 17):
        x, p = metric.unwhiten(rng.standard_normal(4)), metric.unwhiten_covector(rng.standard_normal(4))
        end = np.linalg.matrix_power(one, steps) @ np.concatenate([x, p])
        (h0, g0), (h1, g1) = energy(x, p), energy(end[:4], end[4:])
        assert h1 - h0 == pytest.approx(step**2 / 8 * (g1 - g0), rel=1e-6, abs=1e-9 * h0)


@pytest.mark.parametrize("length", [0.9, 1.7, 6.0])
def test_mean_energy_error_is_the_leapfrogs_own(system, length):
    """E ΔH over the stationary law and the jitter's step counts, by matrix powers. Catches: ½ for sin² at short
    lengths (off by up to 60 % there), a wrong angle, a factor 2."""
    metric, hessian = system
    frequencies = np.sqrt(squared_frequencies(metric, hessian))
    step, length = 1.1 / frequencies[-1], length / frequencies[0]
    energy = np.block([[hessian, np.zeros((4, 4))], [np.zeros((4, 4)), np.asarray(metric.dense())]])
    stationary, one = np.linalg.inv(energy), _leapfrog_matrix(metric, hessian, step)
    counts, mass = hmc_step_counts(step, length)
    expected = 0.0
    for count, weight in zip(counts, mass, strict=True):
        power = np.linalg.matrix_power(one, int(count))
        expected += weight * 0.5 * (np.trace(power.T @ energy @ power @ stationary) - 8)
    assert len(counts) <= 64  # above it the law takes the average ½
    assert mean_energy_error(frequencies, step, length) == pytest.approx(expected, rel=1e-6)


def test_mean_energy_error_of_one_mode():
    """Check 3: h = 1 and exactly 2 steps: E ΔH = .03125; long jitter and NUTS take half of h⁴/(32(1 − h²/4))."""
    counts, _ = hmc_step_counts(1.0, 2.0)
    assert list(counts)[:3] == [1, 2, 3]
    size = 1 / (32 * 0.75)
    assert np.sin(2 * np.arccos(0.5)) ** 2 * size == pytest.approx(0.03125)
    assert mean_energy_error(np.array([1.0]), 1.0, None) == pytest.approx(size / 2)
    assert mean_energy_error(np.array([1.0]), 1.0, 1000.3) == pytest.approx(size / 2, rel=0.01)


@pytest.mark.parametrize(("step", "length"), [(0.1, 1.57), (0.31, 0.4), (0.7, 0.2), (0.25, 3.0), (1.0, 1.0)])
def test_jitter_law_is_that_of_the_kernel(step, length):
    """Masses sum to one and equal the frequencies of clip(round(uniform(½, 1½)·length/step), 1).
    Catches: an edge cell counted whole or not at all, mass below one step lost."""
    counts, mass = hmc_step_counts(step, length)
    assert mass.sum() == pytest.approx(1.0, abs=1e-12) and np.all(mass >= 0)
    uniform = (np.arange(200_000) + 0.5) / 200_000
    drawn = np.maximum(np.round((0.5 + uniform) * length / step), 1)
    expected = [np.mean(drawn == count) for count in counts]
    np.testing.assert_allclose(mass, expected, atol=2e-5)


def test_acceptance_law():
    """2Φ(−√(μ/2)): 1 at no error, a half at μ = 2·.6745². Catches: a missing ½ inside the root."""
    assert acceptance_of(0.0) == 1.0
    assert acceptance_of(2 * 0.6744897502**2) == pytest.approx(0.5, abs=1e-9)
    assert acceptance_of(np.inf) == 0.0


def test_acceptance_law_agrees_with_simulated_transitions(rng):
    """60 equal modes, HMC's own accept probability, 4000 stationary draws: the law is exact for many modes.
    Catches: μ/2 for μ, sizes that are off by a factor. Measured difference below .01."""
    step, steps = 0.45, 4
    x, p = rng.standard_normal((2, 4000, 60))
    start = 0.5 * (x**2 + p**2).sum(1)
    p = p - 0.5 * step * x
    for i in range(steps):
        x = x + step * p
        p = p - (step if i < steps - 1 else 0.5 * step) * x
    measured = np.minimum(1.0, np.exp(start - 0.5 * (x**2 + p**2).sum(1))).mean()
    exact = np.sin(steps * np.arccos(1 - step**2 / 2)) ** 2 * 60 * step**4 / (32 * (1 - step**2 / 4))
    assert acceptance_of(exact) == pytest.approx(measured, abs=0.02)


@pytest.mark.parametrize(("dim", "step"), [(26, 0.724), (50, 0.621), (100, 0.5259), (1000, 0.299)])
def test_step_size_of_a_whitened_gaussian(dim, step):
    """ε² = (32/d)(−z²/2 + z√(z²/4 + d/8)), at acceptance .8."""
    z = 0.2533471  # Φ⁻¹(1 − .8/2)
    closed = np.sqrt(32 / dim * (-(z**2) / 2 + z * np.sqrt(z**2 / 4 + dim / 8)))
    assert closed == pytest.approx(step, abs=6e-4)
    assert step_size_for(np.ones(dim), 0.8) == pytest.approx(closed, rel=1e-6)


def test_step_size_scales_inversely_with_frequency_and_meets_the_target():
    """Catches: an absolute grid, a law that is inverted at the wrong acceptance."""
    frequencies = np.geomspace(0.3, 7.0, 12)
    for accept in (0.6, 0.8, 0.95):
        step = step_size_for(frequencies, accept)
        assert acceptance_of(mean_energy_error(frequencies, step, None)) == pytest.approx(accept, abs=1e-6)
        assert step_size_for(1e3 * frequencies, accept) == pytest.approx(step / 1e3, rel=1e-9)
        length = 2.0 / frequencies[0]
        jittered = step_size_for(frequencies, accept, length)
        assert expected_acceptance(frequencies, jittered, length) == pytest.approx(accept, abs=0.02)
    assert step_size_for(frequencies, 0.8, None, 3.0) < step_size_for(frequencies, 0.8)


@pytest.mark.parametrize("frequencies", [[1.0], [1.0, 3.0], [0.2, 0.25, 5.0]])
def test_acceptance_of_few_modes_agrees_with_simulated_transitions(frequencies, rng):
    """Few modes: the law of many would be .04 to .06 lower. 40,000 stationary draws of jittered HMC; false-fail 1e-6.
    Catches: the few-mode share inverted, the mean over step counts taken inside the root."""
    omega = np.array(frequencies)
    length = 0.5 * np.pi / omega.min()
    step = step_size_for(omega, 0.8, length)
    counts, mass = hmc_step_counts(step, length)
    x, p = rng.standard_normal((2, 40_000, omega.size))
    x = x / omega
    start = 0.5 * ((omega * x) ** 2 + p**2).sum(1)
    wanted, accepted = rng.choice(counts, size=len(x), p=mass), np.zeros(len(x))
    p = p - 0.5 * step * omega**2 * x
    for count in range(1, int(counts.max()) + 1):
        x = x + step * p
        p = p - step * omega**2 * x
        end = 0.5 * ((omega * x) ** 2 + (p + 0.5 * step * omega**2 * x) ** 2).sum(1)
        accepted = np.where(wanted == count, np.minimum(1.0, np.exp(start - end)), accepted)
    assert accepted.mean() == pytest.approx(0.8, abs=0.025)
    total = mean_energy_error(omega, step, length)
    assert acceptance_of(total) < accepted.mean() - 0.015  # control: the law of many modes is not this one


def test_step_size_stays_below_the_stability_limit_with_one_fast_mode():
    """One mode 30 times faster in 100, acceptance .65: the leading-order law is unstable there by 13 %."""
    frequencies = np.concatenate([np.ones(99), [30.0]])
    assert 0.8 < step_size_for(frequencies, 0.65) * 30 / 2 < 1.0


def test_correction_reaches_the_target_in_one_step_where_the_law_holds():
    """μ ∝ ε⁴ at small steps. Catches: the correction in the wrong direction, a missing fourth root."""
    frequencies = np.ones(5000)
    right = step_size_for(frequencies, 0.8)
    for wrong in (0.7 * right, 1.2 * right):
        acceptance = acceptance_of(mean_energy_error(frequencies, wrong, None))
        assert corrected_step_size(wrong, acceptance, 0.8) == pytest.approx(right, rel=0.01)
    assert corrected_step_size(1.0, 0.0, 0.8) >= 0.25 and corrected_step_size(1.0, 1.0, 0.8) <= 2.0
