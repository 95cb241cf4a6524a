"""The steps that the integrator allows, found by running it, against closed forms."""

import numpy as np
import pytest

from monochord.comparison._stable_step import LONG, SHORT, largest_stable_steps, step_for_acceptance
from monochord.metrics import DiagonalMetric
from monochord.sampling import energy_errors
from monochord.spectra import squared_frequencies
from monochord.testing import gaussian_target

DIM = 5


@pytest.fixture(scope="module")
def setting():
    """A Gaussian under a metric that does not fit it, 128 stationary starts, and its frequencies."""
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((DIM, DIM)) * np.geomspace(0.3, 4.0, DIM)[:, None]
    covariance = factor @ factor.T + 0.1 * np.eye(DIM)
    mean = np.linspace(-3.0, 2.0, DIM)
    metric = DiagonalMetric(np.geomspace(0.5, 3.0, DIM))
    points = mean + rng.standard_normal((128, DIM)) @ np.linalg.cholesky(covariance).T
    omega = np.sqrt(squared_frequencies(metric, np.linalg.inv(covariance)))
    return gaussian_target(mean, covariance), metric, points, rng.standard_normal((128, DIM)), omega


@pytest.mark.parametrize("first", [1e-3, 0.4, 50.0])
def test_stable_step_is_two_over_omega_max(setting, first):
    """From every start and wherever the search begins, to 1 %. Catches: momenta that are not whitened, a bracket that
    is turned round. The count is of every gradient.
    """
    target, metric, points, noise, omega = setting
    steps, gradients = largest_stable_steps(target, metric, points[:4], noise[:4], first)
    np.testing.assert_allclose(steps, 2.0 / omega.max(), rtol=0.01)
    assert gradients % (4 * (LONG + 1)) == 0
    assert gradients > 10 * 4 * LONG


def test_energy_error_is_the_exact_identity(setting):
    """ΔH = ε²/8 (|g_L|² − |g_0|²) after one step, which Theory proves. Catches: an error of another sign or metric."""
    target, metric, points, noise, _ = setting
    step = 0.3
    errors = np.asarray(energy_errors(target, metric, points[:4], noise[:4], np.full(4, step), num_steps=1))[:, 0]
    momentum = np.asarray(metric.unwhiten_covector(noise[:4]))
    precision = np.asarray(target.traced_data["inverse_factor"]).T @ np.asarray(target.traced_data["inverse_factor"])
    centre = np.asarray(target.traced_data["mean"])
    force = (points[:4] - centre) @ precision
    moved = points[:4] + step * np.asarray(metric.matvec(momentum - step / 2 * force))
    size = [np.sum(np.asarray(metric.whiten_covector(g)) ** 2, axis=1) for g in (force, (moved - centre) @ precision)]
    np.testing.assert_allclose(errors, step**2 / 8 * (size[1] - size[0]), rtol=1e-9, atol=1e-12)


def test_step_for_acceptance(setting):
    """Within 8 % of the step at which the exact law of ΔH, over the same numbers of leapfrogs, accepts .8.

    The law is simulated here without the integrator: 2 · 10⁵ stationary pairs, each mode turned in closed form. 128 starts
    of 32 correlated steps know the acceptance to about .01, the step to 2 %. Catches: an acceptance without its minimum.
    """
    target, metric, points, noise, omega = setting
    found, gradients = step_for_acceptance(target, metric, points, noise, 0.8, 0.1)
    assert gradients % (128 * (SHORT + 1)) == 0
    rng = np.random.default_rng(0)
    x, p = rng.standard_normal((2, 4000, DIM))  # in units of each mode

    def acceptance(step):
        h = step * omega
        turn, stretch = np.arccos(1 - h**2 / 2), np.sqrt(1 - h**2 / 4)
        values = []
        for count in range(1, SHORT + 1):
            end = x * np.cos(count * turn) + p / stretch * np.sin(count * turn)
            values.append(np.mean(np.minimum(1, np.exp(-np.sum(h**2 / 8 * (end**2 - x**2), axis=1)))))
        return np.mean(values)

    assert acceptance(found / 1.08) > 0.8 > acceptance(found * 1.08)
