"""Bambi models: reported as Bambi reports them."""

import numpy as np
import pandas as pd
import pytest

bambi = pytest.importorskip("bambi", reason="pip install 'monochord[bambi]'")

import monochord as mc  # noqa: E402
from monochord.targets import constrain_draws  # noqa: E402
from monochord.testing import assert_mean_close  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    x, w = rng.normal(5.0, 2.0, 80), rng.normal(-3.0, 1.0, 80)
    return pd.DataFrame(
        {"x": x, "w": w, "y": 1.0 + 0.5 * x - 0.3 * w + rng.normal(0.0, 0.7, 80), "g": list("abcd") * 20}
    )


@pytest.mark.statistical
def test_a_regression_agrees_with_least_squares(table, seed):
    """With flat-enough priors the posterior mean is the least-squares solution, intercept at uncentred predictors.

    Three means within 0.35 sd at a false-fail rate of 1e-6. Catches: the intercept of centred predictors.
    """
    wide = bambi.Prior("Normal", mu=0, sigma=1000)
    model = bambi.Model("y ~ x + w", table, priors={"Intercept": wide, "x": wide, "w": wide})
    data = mc.sample(model, target_ess=800, kernel="hmc", seed=seed, progress=False)
    assert set(data.posterior.data_vars) == {"Intercept", "x", "w", "sigma"}
    design = np.column_stack([np.ones(80), table.x, table.w])
    solution = np.linalg.lstsq(design, table.y, rcond=None)[0]
    for row in mc.summary(data):
        if row.name == "sigma":
            continue
        expected = solution[["Intercept", "x", "w"].index(row.name)]
        assert_mean_close(
            row.mean, row.sd / np.sqrt(row.ess_bulk), expected, expected_error=0.01 * row.sd,
            must_detect=0.4 * row.sd, false_fail=1e-6, false_pass=1e-3,
        )  # fmt: skip


def test_group_effects_and_their_labels_are_bambis(table):
    """Catches: standardised offsets or a mean for each observation in the output, group labels lost."""
    target = mc.target(bambi.Model("y ~ x + (1|g)", table))
    assert set(constrain_draws(target, np.zeros((2, target.dim)))) == {"Intercept", "x", "sigma", "1|g", "1|g_sigma"}
    assert target.labels.dims["1|g"] == ["g__factor_dim"]
    assert list(target.labels.coords["g__factor_dim"]) == list("abcd")
    with pytest.raises(mc.OptionError, match="holds its data already"):
        mc.target(bambi.Model("y ~ x", table), data={"x": table.x.values})
