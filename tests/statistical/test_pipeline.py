"""Simulation-based calibration of fit, warm-up and sampling together, as a user gets them."""

import jax
import numpy as np
import pytest

import monochord as mc
from monochord import timing
from monochord.targets import with_data
from monochord.testing import assert_ranks_uniform
from tests.statistical.models import MODELS
from tests.statistical.simulation import draws_of_truth

NUM_DRAWS = 15
WARM = 20  # replications after which every path of the pipeline has been compiled


@pytest.mark.statistical
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["logistic"])
def test_ranks_of_the_pipeline_are_uniform(name, key, seed):
    """600 data sets through one compiled target; draws wrong by 0.42 sd or an sd wrong by a factor 1.55 are found (false pass
    10⁻³), right ones fail once in 10⁶. Here draws are taken as independent: 15 of 4 chains of 250, 66 apart.
    Catches: a warm-up whose draws are kept, chains that never leave their starts, a fit's error that stays in the draws.
    """
    num, model = 600, MODELS[name]
    truth, data = jax.tree.map(np.asarray, draws_of_truth(model, key, num))
    template, true, draws, compiled = model.target(), [], [], 0
    for index in range(num):
        target = with_data(template, jax.tree.map(lambda field, index=index: field[index], data))
        result = mc.sample(target, seed=seed * num + index, draws=250, progress=False)
        x = result.posterior["beta"].values.reshape(1000, -1)
        density = result.sample_stats["lp"].values.reshape(1000, 1)
        draws.append(np.concatenate([x, density], axis=1)[17::66][:NUM_DRAWS])
        true.append(np.append(truth[index], float(target.log_density(truth[index]))))
        if index == WARM:
            compiled = timing.num_compiled()
    assert timing.num_compiled() == compiled, "another data set of the same shape was compiled"
    draws, true = np.stack(draws), np.stack(true)[:, None]
    limits = {"must_detect_shift": 0.42, "must_detect_scale": 1.55}
    assert_ranks_uniform((draws < true).sum(1), NUM_DRAWS, **limits)
    with pytest.raises(AssertionError, match="not uniform"):  # control: draws given the data of another replication
        assert_ranks_uniform((draws < np.roll(true, 1, axis=0)).sum(1), NUM_DRAWS, **limits)
