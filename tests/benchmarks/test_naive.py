"""Hierarchies written by a beginner: both forms are one posterior, and a run that misses a tail is told."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.naive import MODELS
from benchmarks.naive.__main__ import _scores, _target


@pytest.mark.parametrize("name", ["logit_intercepts", "crossed_effects", "unequal_groups", "scattered_counts"])
def test_both_forms_are_one_posterior(name):
    """The densities differ by the log determinant of x = m + s z, at random points. Catches: a prior or datum in one form only."""
    naive = MODELS[name]()
    centred, other = _target(naive, True), _target(naive, False)
    effects = {"logit_intercepts": [("a", "m", "s")], "crossed_effects": [("a", None, "s"), ("b", None, "t")],
               "unequal_groups": [("a", "m", "s")], "scattered_counts": [("e", None, "s")]}[name]  # fmt: skip
    rng, gaps = np.random.default_rng(0), []
    for _ in range(3):
        z = dict(zip(other.names, 0.5 * rng.standard_normal(other.dim), strict=True))
        x, log_det = dict(z), 0.0
        for effect, loc, scale in effects:
            for key in [k for k in z if k.startswith(f"{effect}_z[")]:
                x[key.replace("_z[", "[")] = (z[loc] if loc else 0.0) + np.exp(z[scale]) * x.pop(key)
                log_det += z[scale]
        at = [jnp.asarray([values[k] for k in target.names]) for target, values in ((centred, x), (other, z))]
        gaps.append(float(centred.log_density(at[0]) + log_det - other.log_density(at[1])))
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-8)


def test_a_run_that_never_enters_a_tail_is_told():
    """4 chains of 500 independent draws, those below the 5 % quantile turned over: the mean is 9 standard errors off, and the share, which never
    changes and counts as a fifth of the draws, 4.5."""
    rng = np.random.default_rng(1)
    exact = rng.standard_normal((4, 5000))
    right = rng.standard_normal((4, 500))
    assert max(score for _, score in _scores("x", right, exact)) < 4.5
    wrong = np.where(right < np.quantile(exact, 0.05), -right, right)
    scores = dict(_scores("x", wrong, exact))
    assert scores["x"] > 8 and scores["x below 5 %"] > 4
