"""Means and standard deviations against reference posteriors that another program made."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

import monochord as mc
from benchmarks.main_job import POSTERIORS
from benchmarks.problems import load
from monochord.testing import assert_mean_close

FOLDER = Path(os.environ.get("MONOCHORD_POSTERIORDB", Path(__file__).parents[3] / "shared" / "posteriordb"))
pytestmark = [
    pytest.mark.statistical,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"reference posteriors: no folder {FOLDER.name} (set MONOCHORD_POSTERIORDB)"
    ),
]


def _draws_by_reference_name(data) -> dict[str, np.ndarray]:
    """Draws shaped (chains, draws) under posteriordb's 1-based names."""
    named = {}
    for name, variable in data.posterior.data_vars.items():
        values = variable.transpose("chain", "draw", ...).values
        for index in np.ndindex(*values.shape[2:]):
            label = f"{name}[{', '.join(str(i + 1) for i in index)}]" if index else str(name)
            named[label] = values[(slice(None), slice(None), *index)]
    return named


def _sd_error(draws: np.ndarray, num_independent: float) -> float:
    """Standard error of a standard deviation from its fourth moment, for `num_independent` draws."""
    centred = (draws - draws.mean()) / draws.std()
    return draws.std() * np.sqrt(((centred**4).mean() - 1.0) / (4.0 * num_independent))


@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
@pytest.mark.parametrize("name", POSTERIORS)
def test_moments_agree_with_the_reference(name, kernel, seed):
    """Catches: a wrong Jacobian, a frozen or inverted metric, chains that stop before they have mixed.

    An error of 0.25 sd in a mean or of 15 % in an sd (25 % for eight schools) is found; all assertions of one posterior together fail
    falsely once in 10⁶ runs for means and once for sds.
    """
    problem = load(name, FOLDER)
    target = mc.target(problem.log_density, init=problem.init, data=problem.data, constrain=problem.constrain)
    num_draws = 6000 if "eight_schools" in name else 2500  # tau has heavy tails: its sd needs more
    data = mc.sample(target, seed=seed, kernel=kernel, draws=num_draws, progress=False)
    draws = _draws_by_reference_name(data)
    assert problem.reference is not None
    reference = problem.reference
    assert reference.keys() <= draws.keys(), "every reference parameter is compared"
    ours = np.stack([draws[key] for key in reference])
    truth_sd = np.array([moment.sd for moment in reference.values()])
    assert_mean_close(
        ours.mean((1, 2)) / truth_sd,
        np.array([array_stats.mcse(x) for x in ours]) / truth_sd,
        np.array([moment.mean for moment in reference.values()]) / truth_sd,
        expected_error=np.array([moment.mcse_mean for moment in reference.values()]) / truth_sd,
        must_detect=0.25,
    )
    assert_mean_close(
        np.array([x.std(ddof=1) for x in ours]) / truth_sd,
        np.array([array_stats.mcse(x, method="sd") for x in ours]) / truth_sd,
        np.ones(len(ours)),
        expected_error=np.array([_sd_error(x, 10_000) for x in ours]) / truth_sd,
        must_detect=0.25 if "eight_schools" in name else 0.15,
    )
    assert max(float(array_stats.rhat(x)) for x in ours) < 1.01


def test_reference_names_are_one_based():
    """Catches: an off-by-one that would compare beta[0] with beta[1]."""
    assert re.fullmatch(r"beta\[1\]", next(iter(_draws_by_reference_name(_FakeData()))))


class _FakeData:
    """The one attribute that `_draws_by_reference_name` reads."""

    def __init__(self):
        import xarray

        self.posterior = xarray.Dataset({"beta": (("chain", "draw", "k"), np.zeros((2, 3, 1)))})
