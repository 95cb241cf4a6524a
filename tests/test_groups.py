"""Groups on request: against closed forms, from NumPyro and PyMC alike, and read by ArviZ."""

import numpy as np
import pytest
import scipy.stats
from arviz_stats import loo

import monochord as mc
from monochord.testing import assert_mean_close

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def _numpyro():
    numpyro = pytest.importorskip("numpyro", reason="pip install 'monochord[numpyro]'")
    import numpyro.distributions as dist

    def model(y, sigma):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("school", 8):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            theta = numpyro.deterministic("theta", mu + tau * z)
            numpyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return mc.target(model, data={"y": EFFECTS, "sigma": ERRORS}, coords={"school": list("ABCDEFGH")})


def _pymc():
    pm = pytest.importorskip("pymc", reason="pip install 'monochord[pymc]'")
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        sigma = pm.Data("sigma", 9.0 * ERRORS, dims="school")
        mu, tau = pm.Normal("mu", 0.0, 5.0), pm.HalfCauchy("tau", 5.0)
        z = pm.Normal("z", 0.0, 1.0, dims="school")
        theta = pm.Deterministic("theta", mu + tau * z, dims="school")
        pm.Normal("y", theta, sigma, observed=EFFECTS, dims="school")
    return mc.target(model, data={"sigma": ERRORS})  # not what the model itself holds


@pytest.mark.statistical
@pytest.mark.parametrize("kind", [_numpyro, _pymc])
def test_groups_agree_with_closed_forms_and_loo_reads_them(kind, seed):
    """ArviZ gives eight schools an elpd of −30.8 with 8 observations (its documentation, centred model, 500 draws of four chains).

    A prior draw and its predictions belong together. Catches: log likelihoods summed or of other data, observations returned as predictions, prior draws that know the data.
    Predictive errors are standard normal at a false-fail rate of 1e-6.
    """
    data = mc.sample(kind(), draws=400, kernel="hmc", seed=seed, progress=False)
    assert "log_likelihood" not in data.children
    returned = mc.add_groups(
        data,
        groups=("log_likelihood", "posterior_predictive", "prior", "prior_predictive"),
        seed=seed,
        prior_draws=4000,
    )
    assert returned is data
    theta = data.posterior["theta"].values
    expected = scipy.stats.norm(theta, ERRORS).logpdf(EFFECTS)
    np.testing.assert_allclose(data.log_likelihood["y"].values, expected, rtol=1e-9)
    assert data.log_likelihood["y"].dims == ("chain", "draw", "school")
    assert abs(loo(data).elpd - -30.8) < 0.3

    errors = (data.posterior_predictive["y"].values - theta) / ERRORS
    count = errors.size
    assert_mean_close(errors.mean(), count**-0.5, 0.0, must_detect=0.1, false_fail=1e-6, false_pass=1e-3)
    assert_mean_close(errors.var(), (2 / count) ** 0.5, 1.0, must_detect=0.2, false_fail=1e-6, false_pass=1e-3)
    mu = data.prior["mu"].values
    assert mu.shape == (1, 4000) and set(data.prior.data_vars) == {"mu", "tau", "z", "theta"}
    assert_mean_close(mu.mean(), 5.0 / 4000**0.5, 0.0, must_detect=0.8, false_fail=1e-6, false_pass=1e-3)
    spread = (data.prior_predictive["y"].values - data.prior["theta"].values) / ERRORS
    assert data.prior_predictive["y"].shape == (1, 4000, 8)
    assert_mean_close(spread.var(), (2 / spread.size) ** 0.5, 1.0, must_detect=0.2, false_fail=1e-6, false_pass=1e-3)


def test_what_a_density_cannot_tell_is_refused():
    """Catches: an empty group, an attribute error."""
    data = mc.sample(lambda x: -0.5 * x @ x, init=np.zeros(2), draws=20, seed=0, kernel="hmc", progress=False)
    with pytest.raises(mc.OptionError, match="only as a whole"):
        mc.add_groups(data, groups="log_likelihood")
    with pytest.raises(mc.OptionError, match="groups='loo'"):
        mc.add_groups(data, groups="loo")
    with pytest.raises(mc.OptionError, match="its model is not known"):
        mc.add_groups(data.copy())
