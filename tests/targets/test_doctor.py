"""`mc.doctor`: one model for each check that fails it alone, and sound models that pass all ten."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.testing import gaussian_target

NAMES = [
    "finite at starts", "gradient", "deterministic", "float64", "shape", "idle parameters", "discontinuities",
    "improper directions", "scales", "speed",
]  # fmt: skip


def _levels(findings) -> dict[str, str]:
    assert [finding.name for finding in findings] == NAMES
    assert all(finding.message.endswith(".") for finding in findings)
    return {finding.name: finding.level for finding in findings}


def _gaussian(x):
    return -0.5 * jnp.sum((x - jnp.array([0.7, -0.4])) ** 2 / jnp.array([0.5, 2.0]))


def _jax(function):
    return lambda: mc.target(function, init=np.zeros(2))


def _host(function):
    return lambda: mc.target((function, lambda x: -x), init=np.zeros(2))


def _stopped(x):
    return _gaussian(x) - jax.lax.stop_gradient(3.0 * jnp.sum(x**2))


def _noisy(x):
    return -0.5 * x @ x + 0.1 * np.random.default_rng().standard_normal()


def _slow(x):
    time.sleep(0.025)
    return -0.5 * x @ x


FAULTS = {
    "finite at starts": ("warning", _jax(lambda x: jnp.where(x[0] > 0, _gaussian(x), jnp.nan))),
    "gradient": ("warning", _jax(_stopped)),
    "deterministic": ("error", _host(_noisy)),
    "float64": ("warning", _jax(lambda x: _gaussian(x).astype(jnp.float32))),
    "shape": ("error", _jax(lambda x: -0.5 * x**2)),
    "idle parameters": ("warning", _jax(lambda x: -0.5 * (x[0] - 0.3) ** 2)),
    "discontinuities": ("warning", _jax(lambda x: _gaussian(x) + jnp.where(x[0] + 0.3 * x[1] > 0.1, 1.0, 0.0))),
    "improper directions": ("warning", _jax(lambda x: -0.5 * (x[0] - x[1]) ** 2)),
    "scales": ("warning", _jax(lambda x: -0.5 * ((x[0] / 1e-3) ** 2 + (x[1] / 300.0) ** 2))),
    "speed": ("warning", _host(_slow)),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_check_is_failed_by_its_own_model_alone(name):
    """Ten negative controls. Catches: a check that never fails, a fault that sets off others' alarms."""
    level, build = FAULTS[name]
    levels = _levels(mc.doctor(build()))
    assert levels.pop(name) == level
    assert set(levels.values()) <= {"ok", "not checked"}
    assert name in ("deterministic", "shape") or set(levels.values()) == {"ok"}


def _funnel_like(x):
    """A flat prior on a log scale: nothing falls off towards plus infinity."""
    return -jnp.exp(-x[0]) - 0.5 * x[1] ** 2


def test_a_tail_without_integral_is_found():
    """Catches: a plateau taken for a fall."""
    findings = {finding.name: finding for finding in mc.doctor(_funnel_like, init=np.zeros(2))}
    assert findings["improper directions"].level == "warning" and "x[0]" in findings["improper directions"].message


def test_steep_is_no_jump():
    """A smooth step over a length of 10⁻⁴. Catches: bisection that stops before it resolves one."""
    target = mc.target(lambda x: _gaussian(x) + jax.nn.sigmoid((x[0] - 0.1) / 1e-4), init=np.zeros(2))
    assert _levels(mc.doctor(target))["discontinuities"] == "ok"


@pytest.mark.parametrize("seed", range(3))
def test_sound_models_pass_all_ten(seed, ugly_mean, ugly_covariance):
    """Catches: false alarms; the gradients of all checks are counted."""
    calls = []
    precision = np.linalg.inv(ugly_covariance(4))

    def log_density(x):
        calls.append(1)
        return -0.5 * (x - ugly_mean(4)) @ precision @ (x - ugly_mean(4))

    target = mc.target((log_density, lambda x: -precision @ (x - ugly_mean(4))), init=np.zeros(4), parallel=False)
    calls.clear()
    findings = mc.doctor(target, seed=seed)
    assert set(_levels(findings).values()) == {"ok"} and findings.gradients == len(calls)
    if seed == 0:
        assert set(_levels(mc.doctor(gaussian_target(ugly_mean(3), ugly_covariance(3)))).values()) == {"ok"}


def test_a_hierarchical_numpyro_model_passes():
    """Catches: a log scale whose far end is taken for an improper one."""
    numpyro = pytest.importorskip("numpyro")
    import numpyro.distributions as dist

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("school", 8):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mu + tau * z, 10.0), obs=y)

    findings = mc.doctor(model, data={"y": np.array([28.0, 8, -3, 7, -1, 1, 18, 12])})
    assert set(_levels(findings).values()) == {"ok"}


def test_a_model_that_cannot_be_made_is_a_cross_not_a_traceback():
    """Catches: an exception where a finding is wanted."""
    findings = mc.doctor((lambda x: x, lambda x: -x), init=np.zeros(2))
    levels = _levels(findings)
    assert levels.pop("shape") == "error" and set(levels.values()) == {"not checked"} and findings.gradients == 0
