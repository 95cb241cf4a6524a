"""The named checks: each finds its own fault and is silent on a sound model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.targets import callable_target, check_target
from monochord.testing import gaussian_target, nowhere_finite_target


def _levels(target, rng):
    findings = check_target(target, rng)
    gradients = findings.gradients
    assert all(finding.message.endswith(".") for finding in findings)
    assert gradients >= 8
    return {finding.name: finding.level for finding in findings}


def test_a_sound_model_has_no_findings(ugly_covariance, ugly_mean, rng):
    """Catches: false alarms, also with scales from e⁻³ to e³."""
    levels = _levels(gaussian_target(ugly_mean(3), ugly_covariance(3)), rng)
    assert len(levels) >= 4 and set(levels.values()) == {"ok"}


def test_a_density_that_is_nowhere_finite_is_an_error(rng):
    """Catches: NaN that counts as a value."""
    assert _levels(nowhere_finite_target(), rng)["finite at starts"] == "error"


def _wall(params):
    return jnp.where(params["x"][0] > 0, -jnp.sum(params["x"] ** 2), -jnp.inf)


def _stopped(params):
    return -jnp.sum(params["x"] ** 2) - jax.lax.stop_gradient(3.0 * jnp.sum(params["x"] ** 2))


def _idle(params):
    return -0.5 * params["x"][0] ** 2


def _rising(params):
    return 0.3 * params["x"][0] - 0.5 * (params["x"][1] / 0.4) ** 2


@pytest.mark.parametrize(
    ("function", "name"),
    [(_rising, "falls off"), (_wall, "finite at starts"), (_stopped, "gradient"), (_idle, "idle parameters")],
)
def test_each_fault_is_found_by_its_own_check(function, name, rng):
    """Negative controls of the checks, one model a fault."""
    levels = _levels(callable_target(function, {"x": np.zeros(2)}), rng)
    assert levels.pop(name) == "warning"
    assert set(levels.values()) <= {"ok"}
