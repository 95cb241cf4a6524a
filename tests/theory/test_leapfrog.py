"""The leapfrog on a Gaussian, exactly: its limit, its energy error, its acceptance, and the step size that follows.

The integrator is the sampler's own: velocity Verlet under the library's kinetic energy.
"""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.mcmc.integrators import IntegratorState, velocity_verlet
from scipy.stats import f as f_distribution

from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.sampling._blackjax import engine_metric
from monochord.spectra import acceptance_of, mean_energy_error, squared_frequencies, step_size_for
from monochord.spectra._step_size import hmc_step_counts
from monochord.testing import assert_mean_close, gaussian_target

DIM = 6


def _metrics(scale, covariance, rng):
    basis = np.linalg.qr(rng.standard_normal((DIM, 2)))[0]
    return {
        "diagonal": DiagonalMetric(scale[::-1].copy()),
        "dense": DenseMetric.from_covariance(covariance),
        "low rank": LowRankMetric(scale, basis, np.array([0.07, 23.0])),
    }


@pytest.fixture
def metrics(ugly_scale, ugly_covariance, rng):
    return _metrics(ugly_scale(DIM), ugly_covariance(DIM, 30.0), rng)


def _trajectory(target, metric, steps):
    """(x, p) -> (x, p) after `steps` leapfrogs of the sampler's integrator."""
    engine = engine_metric(jax.tree.map(jnp.asarray, metric))
    integrate = velocity_verlet(target.log_density, engine.kinetic_energy)

    def end(x, p, step_size):
        state = IntegratorState(x, p, *jax.value_and_grad(target.log_density)(x))
        state = jax.lax.fori_loop(0, steps, lambda _, s: integrate(s, step_size), state)
        return state.position, state.momentum

    return jax.jit(end)


@pytest.mark.parametrize("name", ["diagonal", "dense", "low rank"])
def test_leapfrog_limit(name, metrics, random_spd, ugly_mean):
    """The one-step map has spectral radius 1 iff ε ω_max < 2; at ε ω_max = 2f it is (f + √(f² − 1))².

    Catches: Σ for Σ⁻¹ in the kinetic energy or in `squared_frequencies`, ω² for ω, a step taken twice or by halves.
    """
    metric, hessian = metrics[name], random_spd(DIM)
    covariance = np.linalg.inv(hessian)
    mean = ugly_mean(DIM)
    step = _trajectory(gaussian_target(mean, (covariance + covariance.T) / 2), metric, 1)
    limit = 2.0 / np.sqrt(squared_frequencies(metric, hessian)[-1])
    x, p = metric.unwhiten(np.linspace(-1, 2, DIM)), metric.unwhiten_covector(np.linspace(2, -1, DIM))
    for factor, radius in ((0.4, 1.0), (0.999, 1.0), (1.0001, 1.02868783), (1.01, 1.32658443)):
        assert radius == pytest.approx((factor + np.sqrt(max(factor**2 - 1, 0))) ** 2 if factor > 1 else 1, abs=1e-7)
        blocks = jax.jacfwd(lambda x, p, f=factor: step(x, p, f * limit), argnums=(0, 1))(x, p)
        # in whitened coordinates, where the map is near normal and its eigenvalues are well conditioned
        whiten = [lambda a: np.asarray(metric.whiten(a.T)).T, lambda a: np.asarray(metric.whiten_covector(a.T)).T]
        unwhiten = [metric.whiten_covector, metric.whiten]  # right factors L and L⁻ᵀ
        rows = [[np.asarray(unwhiten[j](whiten[i](np.asarray(blocks[i][j])))) for j in (0, 1)] for i in (0, 1)]
        measured = np.abs(np.linalg.eigvals(np.block(rows))).max()
        assert measured == pytest.approx(radius, abs=2e-6), factor


@pytest.mark.parametrize("steps", [1, 3, 17, 200])
def test_energy_identity(steps, metrics, random_spd, ugly_mean, rng):
    """ΔH = (ε²/8)(‖Lᵀg_L‖² − ‖Lᵀg₀‖²) for every Gaussian, metric and number of steps.

    Catches: a kick or drift of the wrong length, a kinetic energy that is not the flow's own, drift of rounding.
    """
    mean = ugly_mean(DIM)
    for name, metric in metrics.items():
        hessian = random_spd(DIM)
        covariance = np.linalg.inv(hessian)
        target = gaussian_target(mean, (covariance + covariance.T) / 2)
        step_size = 1.7 / np.sqrt(squared_frequencies(metric, hessian)[-1])
        x, p = mean + metric.unwhiten(rng.standard_normal(DIM)), metric.unwhiten_covector(rng.standard_normal(DIM))
        end = [np.asarray(part) for part in _trajectory(target, metric, steps)(x, p, step_size)]
        (energy, force), (energy_end, force_end) = (_energy(hessian, mean, metric, *point) for point in ((x, p), end))
        change = step_size**2 / 8 * (force_end - force)
        assert abs(energy_end - energy - change) < 1e-11 * max(energy, energy_end), name
        assert abs(change) > 1e-4 * energy, "nothing was tested"


def _energy(hessian, mean, metric, x, p):
    gradient = hessian @ (x - mean)
    kinetic = 0.5 * np.sum(metric.whiten_covector(p) ** 2)
    return 0.5 * (x - mean) @ gradient + kinetic, np.sum(metric.whiten_covector(gradient) ** 2)


def _one_mode_acceptance(energy_error):
    """1 − (2/π) arctan √(E ΔH / 2): the acceptance where one mode carries all of the energy error."""
    return 1.0 - 2.0 / np.pi * np.arctan(np.sqrt(energy_error / 2.0))


def _one_mode_error(h, steps):
    return np.sin(steps * np.arccos(1 - h**2 / 2)) ** 2 * h**4 / (32 * (1 - h**2 / 4))


@pytest.mark.parametrize(
    ("h", "steps", "error", "acceptance"),
    [(1.0, 2, 0.03125, 0.920833), (0.5, 3, None, 0.979491), (1.5, 4, None, 0.871676), (1.9, 3, None, 0.402511)],
)
def test_accept_1d(h, steps, error, acceptance):
    """One mode: E ΔH = sin²(Lθ) h⁴/(32(1 − h²/4)), cos θ = 1 − h²/2; acceptance 1 − (2/π) arctan √(E ΔH/2), exactly.

    E min(1, e^−ΔH) by quadrature over the angle of (x, p): given the angle ΔH = r²q, r²/2 ~ Exp(1), so the mean is
    1/(1 + 2q) where q > 0. Catches: an angle, a factor of 2, the acceptance law for many modes used for one.
    """
    angle = 2 * np.pi * (np.arange(400_000) + 0.5) / 400_000
    x, p = np.cos(angle), np.sin(angle)
    for _ in range(steps):
        p = p - 0.5 * h * x
        x = x + h * p
        p = p - 0.5 * h * x
    q = 0.5 * (x**2 + p**2 - 1.0)
    expected = _one_mode_error(h, steps)
    assert 2 * q.mean() == pytest.approx(expected, rel=1e-9)
    assert error is None or expected == pytest.approx(error, abs=1e-12)
    measured = np.where(q > 0, 1 / (1 + 2 * np.maximum(q, 0)), 1.0).mean()
    assert _one_mode_acceptance(expected) == pytest.approx(measured, abs=2e-6)
    assert measured == pytest.approx(acceptance, abs=2e-6)
    assert 2 * np.mean(q < 0) == pytest.approx(measured, abs=2e-5)  # 2 P(ΔH < 0), whatever the modes
    assert abs(acceptance_of(expected) - measured) > 5e-3  # the control: 2Φ(−√(E ΔH/2)) needs many modes


@pytest.mark.statistical
def test_accept_1d_simulated(simulate, diagonal_gaussian, rng):
    """The HMC kernel's own acceptance in one dimension is the one-mode law averaged over its step counts.

    512 chains of 60 transitions, false-fail 1e-6, an error of .02 missed with 1e-3. Catches: a jitter of another
    width, acceptance of the proposal before the last half kick. Control: the law for many modes is rejected.
    """
    mean, scale = np.array([-2.3]), np.array([0.37])
    target, metric = diagonal_gaussian(mean, scale), DiagonalMetric(np.array([1.6]))
    omega = metric.scale / scale
    for stream, h in enumerate((1.0, 1.9)):
        step_size, length = h / omega[0], 3.2 / omega[0]
        starts = mean + scale * rng.standard_normal((512, 1))
        accept = simulate(target, metric, starts, "hmc", 60, step_size, length, stream=stream).acceptance
        measured, error = accept.mean(), accept.mean(1).std(ddof=1) / np.sqrt(len(accept))
        counts, mass = hmc_step_counts(step_size, length)
        errors = np.array([_one_mode_error(h, count) for count in counts])
        assert mass @ errors == pytest.approx(mean_energy_error(omega, step_size, length), rel=1e-9)
        assert_mean_close(measured, error, mass @ _one_mode_acceptance(errors), must_detect=0.02)
        many = mass @ np.array([acceptance_of(value) for value in errors])
        with pytest.raises(AssertionError, match="differs"):
            assert_mean_close(measured, error, many, must_detect=0.02)


@pytest.mark.parametrize(("dim", "step"), [(26, 0.72389), (50, 0.62075), (100, 0.52587), (1000, 0.29936)])
def test_step_size_closed_form(dim, step, ugly_scale):
    """Whitened Gaussian, acceptance a, z = Φ⁻¹(1 − a/2): ε² = (32/d)(−z²/2 + z√(z²/4 + d/8)).

    From d h⁴/(64(1 − h²/4)) = 2z², a quadratic in h². Catches: a leading-order law, Φ⁻¹(a), d^(−1/4) lost.
    """
    z = NormalDist().inv_cdf(1 - 0.8 / 2)
    closed = np.sqrt(32 / dim * (-(z**2) / 2 + z * np.sqrt(z**2 / 4 + dim / 8)))
    assert dim * closed**4 / (64 * (1 - closed**2 / 4)) == pytest.approx(2 * z**2, rel=1e-12)
    assert closed == pytest.approx(step, abs=6e-6)
    squared = np.full(dim, 0.3**2)  # a metric of .3² times the covariance
    if dim <= 100:
        scale = ugly_scale(dim)
        squared = squared_frequencies(DiagonalMetric(0.3 * scale), np.diag(1 / scale**2))
    assert 0.3 * step_size_for(np.sqrt(squared), 0.8) == pytest.approx(closed, rel=1e-6)


def _equal_modes_acceptance(energy_error, dim):
    """2 P(ΔH < 0) for `dim` equal modes of mean error `energy_error` each.

    2ΔH = (s − 1)χ² − (1 − 1/s)χ'², so the event is F(dim, dim) < 1/s, where √s − 1/√s = √(2 E ΔH).
    """
    root = (np.sqrt(2 * energy_error) + np.sqrt(2 * energy_error + 4)) / 2
    return 2 * f_distribution.cdf(root**-2, dim, dim)


@pytest.mark.statistical
@pytest.mark.parametrize("dim", [26, pytest.param(100, marks=pytest.mark.nightly)])
def test_step_size_closed_form_simulated(dim, simulate, diagonal_gaussian, ugly_scale, ugly_mean, rng):
    """`step_size_for(..., length)` gives jittered HMC the acceptance that was asked for, to .015.

    512 stationary chains against the exact law for equal modes; false-fail 1e-6, an error of .02 missed with 1e-3.
    Catches: ½ for E sin² at a length of a quarter period (off by .04 and more: the control), step counts by another
    law than the kernel's.
    """
    mean, scale = ugly_mean(dim), ugly_scale(dim)
    target, metric, length = diagonal_gaussian(mean, scale), DiagonalMetric(scale), np.pi / 2
    assert _equal_modes_acceptance(3.7, 1) == pytest.approx(_one_mode_acceptance(3.7), rel=1e-9)
    for stream, wanted in enumerate((0.8, 0.6)):
        step_size = step_size_for(np.ones(dim), wanted, length)
        starts = mean + scale * rng.standard_normal((512, dim))
        accept = simulate(target, metric, starts, "hmc", 60, step_size, length, stream=stream).acceptance
        measured, error = accept.mean(), accept.mean(1).std(ddof=1) / np.sqrt(len(accept))
        counts, mass = hmc_step_counts(step_size, length)
        exact = mass @ [_equal_modes_acceptance(_one_mode_error(step_size, count), dim) for count in counts]
        assert exact == pytest.approx(wanted, abs=0.015)
        assert_mean_close(measured, error, exact, must_detect=0.02)
        half = acceptance_of(mean_energy_error(np.ones(dim), step_size, None))
        with pytest.raises(AssertionError, match="differs"):
            assert_mean_close(measured, error, half, must_detect=0.02)
