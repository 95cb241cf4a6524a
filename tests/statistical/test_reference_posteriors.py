"""All fifteen reference posteriors: right within calibrated error, or the run says that it may not be."""

import os
from pathlib import Path

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

import monochord as mc
from benchmarks.main_job import one_based
from benchmarks.problems import load
from benchmarks.problems._posteriordb import BUILDERS
from monochord.testing import assert_mean_close

FOLDER = Path(os.environ.get("MONOCHORD_POSTERIORDB", Path(__file__).parents[3] / "shared" / "posteriordb"))
pytestmark = [
    pytest.mark.statistical,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"reference posteriors: no folder {FOLDER.name} (set MONOCHORD_POSTERIORDB)"
    ),
]
NO_METRIC_SUITS = ("gp_pois_regr-gp_pois_regr",)  # a funnel that no map is found for
QUICK = (("sblrc-blr", "nuts"), ("hmm_example-hmm_example", "hmc"))
NUM_DRAWS = 2500
REFERENCE_DRAWS = 10_000  # posteriordb's, thinned until they are nearly independent


def _sample(name, kernel, seed):
    problem = load(name, FOLDER)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data, constrain=problem.constrain)
    return problem, mc.sample(target, seed=seed, kernel=kernel, draws=NUM_DRAWS, progress=False)


def _reported_draws(data, reference) -> np.ndarray:
    """Draws (quantities, chains, draws) in the order of the reference."""
    named = {}
    for name, variable in data.posterior.data_vars.items():
        values = np.asarray(variable.transpose("chain", "draw", ...).values)
        for place in np.ndindex(*values.shape[2:]):
            label = f"{name}[{', '.join(map(str, place))}]" if place else str(name)
            named[one_based(label)] = values[(..., *place)]
    return np.stack([named[name] for name in reference])


def assert_agrees(x: np.ndarray, reference) -> None:
    """Means, and second moments about the reference's mean, of every quantity.

    An error of 0.25 sd in a mean, or of 0.35 of the sd of (x − mean)² in its mean, passes once in 1000; right draws fail once in
    10⁶ for all means and once for all squares, as far as MCSEs are normal.
    """
    moments = list(reference.values())
    mean, sd = (np.array([getattr(moment, name) for moment in moments]) for name in ("mean", "sd"))
    assert_mean_close(
        x.mean((1, 2)) / sd,
        np.array([array_stats.mcse(one) for one in x]) / sd,
        mean / sd,
        expected_error=np.array([moment.mcse_mean for moment in moments]) / sd,
        must_detect=0.25,
    )
    squares = (x - mean[:, None, None]) ** 2
    unit = squares.std((1, 2))
    assert_mean_close(
        squares.mean((1, 2)) / unit,
        np.array([array_stats.mcse(one) for one in squares]) / unit,
        sd**2 / unit,
        expected_error=1.0 / np.sqrt(REFERENCE_DRAWS),
        must_detect=0.35,
    )


def _check(name, problem, data):
    if name in NO_METRIC_SUITS:
        assert data.sample_stats.attrs["verdict"] != "trust"
        assert mc.doubts(data, mc.summary(data)), "a funnel was sampled and no doubt was raised"
    else:
        assert_agrees(_reported_draws(data, problem.reference), problem.reference)
        assert max(row.r_hat for row in mc.summary(data) if row.sd > 0) < 1.01


@pytest.mark.parametrize(("name", "kernel"), QUICK)
def test_agrees_with_the_reference(name, kernel, seed):
    """Catches: a wrong Jacobian, an inverted metric, chains that stop before they have mixed. The same draws, shifted by 0.3 sd
    or spread by a factor 1.3, must fail."""
    problem, data = _sample(name, kernel, seed)
    _check(name, problem, data)
    x = _reported_draws(data, problem.reference)
    mean, sd = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
    for wrong in (x + 0.3 * sd, mean + 1.3 * (x - mean)):
        with pytest.raises(AssertionError, match="differs"):
            assert_agrees(wrong, problem.reference)


@pytest.mark.nightly
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
@pytest.mark.parametrize("name", list(BUILDERS))
def test_every_reference_agrees_or_is_doubted(name, kernel, seed):
    """As above for all fifteen. On the funnels the run must not be silent: no verdict of trust, and a doubt."""
    _check(name, *_sample(name, kernel, seed))
