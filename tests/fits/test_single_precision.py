"""JAX's default of 32 bits: the default fit still works on what a user may well have."""

import subprocess
import sys

import pytest

SCRIPT = """
import jax.numpy as jnp, numpy as np, monochord as mc

rng = np.random.default_rng(3)
x = rng.standard_normal((300, 6)) * np.geomspace(0.05, 20.0, 6)
y = x @ rng.standard_normal(6) + rng.standard_normal(300)

def regression(params, x, y):
    residuals = (y - x @ params["beta"]) * jnp.exp(-params["log_sigma"])
    return -0.5 * jnp.sum(residuals**2) - y.size * params["log_sigma"] - 0.5 * jnp.sum(params["beta"] ** 2) / 25

target = mc.target(regression, data={"x": x, "y": y}, init={"beta": np.zeros(6), "log_sigma": 0.0})
for seed in range(4):
    fit = mc.fit(target, seed=seed, progress=False)
    posterior = np.linalg.inv(x.T @ x / np.mean((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2) + np.eye(6) / 25)
    ratio = np.sqrt(np.asarray(fit.gaussian.metric.diagonal())[:6] / np.diag(posterior))
    print(fit.verdict, fit.gaussian.mean.dtype, bool(np.all(np.abs(np.log(ratio)) < 0.15)))
"""


@pytest.mark.filterwarnings("ignore")
def test_the_default_fit_works_in_single_precision_and_says_so_once():
    """Condition number 1.6e5, four seeds. Catches: factorisations in 32 bits, differences that rounding eats unnoticed,
    a user who is not told what to set.
    """
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["trust float64 True"] * 4
    assert done.stderr.count("jax_enable_x64") == 1
