"""Compiled programs and memory: what a small model's user waits for, and what a large one's machine holds."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord import timing


def _log_density(params, scale, shift):
    x = (params["x"] - shift) / scale
    return -0.5 * (x**2).sum() - 0.1 * jnp.cos(x[0])


def _target(seed: int):
    rng = np.random.default_rng(seed)
    data = {"scale": np.exp(rng.uniform(-3, 3, 4)), "shift": rng.uniform(-5, 5, 4)}
    return mc.target(_log_density, init={"x": np.zeros(4)}, data=data)


def test_programs_compiled_by_the_main_job():
    """One for all gradients of the fit, one for warm-up and sampling, one for the output.

    Catches: a shape that changes inside the fit's loop, chains that each compile their own program, data baked
    in as constants.
    """
    timing.listen()
    start = timing.num_compiled()
    fit = mc.fit(_target(1), seed=0, progress=False)
    after_fit = timing.num_compiled()
    mc.sample(_target(1), fit=fit, seed=0, draws=150, progress=False)
    after_sample = timing.num_compiled()
    mc.sample(_target(2), seed=1, draws=170, chains=3, progress=False)
    assert after_fit - start == 1
    assert after_sample - after_fit == 2
    assert timing.num_compiled() - after_sample == 0


LARGE = """
import resource, sys
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import monochord as mc

dim = 30_000
scale = np.exp(np.random.default_rng(0).uniform(-2, 2, dim))
target = mc.target(lambda x, scale: -0.5 * jnp.sum((x / scale) ** 2), init=np.zeros(dim), data={"scale": scale})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit = mc.fit(target, family=sys.argv[1], seed=0, progress=False)
mc.sample(target, fit=fit, seed=0, chains=2, draws=20, metric=sys.argv[1], progress=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20, fit.verdict)
"""


@pytest.mark.parametrize("family", ["diagonal", "low_rank"])
def test_a_structured_metric_in_many_dimensions_holds_no_matrix(family):
    """A dim × dim matrix of 30,000 dimensions takes 6.7 GiB; the limit is a quarter of it.

    Catches: a dense matrix anywhere on the way of a diagonal or low-rank metric.
    """
    run = subprocess.run([sys.executable, "-c", LARGE, family], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    gibibytes, verdict = run.stdout.split(maxsplit=1)
    assert verdict.strip() == "trust"
    assert float(gibibytes) < 1.7
