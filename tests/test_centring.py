"""NumPyro models rewritten by NumPyro's own handler, as far centred as their data ask for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

numpyro = pytest.importorskip("numpyro", reason="pip install 'monochord[numpyro]'")

import numpyro.distributions as dist  # noqa: E402

import monochord as mc  # noqa: E402
from monochord.errors import OptionError  # noqa: E402

SIGMA = np.array([0.01, 0.01, 30.0, 30.0])  # two entries that the data settle, two of which they say nothing
DATA = {"y": np.array([1.0, -1.0, 0.5, -0.5]), "sigma": SIGMA}


def groups(y, sigma):
    """A normal and a Student level, a site with a scale of its own, and one whose location alone is driven."""
    mu, tau = numpyro.sample("mu", dist.Normal(0, 2)), numpyro.sample("tau", dist.LogNormal(0.0, 0.3))
    alone = numpyro.sample("alone", dist.Normal(0, 3))
    numpyro.sample("moved", dist.Normal(alone, 1))
    with numpyro.plate("entry", 4):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        heavy = numpyro.sample("heavy", dist.StudentT(5.0, 0.0, tau))
        numpyro.sample("y", dist.Normal(theta + 0 * heavy, sigma), obs=y)
    numpyro.sample("wide", dist.Normal(jnp.zeros(3), tau).to_event(1))


@pytest.fixture(scope="module")
def made():
    target = mc.target(groups, data=DATA)
    fit = mc.fit(target, seed=0, maps=False, progress=False)
    return target, fit, mc.reparametrised(groups, fit, data=DATA, seed=0)


def test_sites_are_found(made):
    found = {one.site: one.parents for one in made[0].hierarchies()}
    assert found == {"theta": ("mu", "tau"), "heavy": ("tau",), "wide": ("tau",)}
    assert {one.site: one.lines for one in made[0].hierarchies()}["theta"] == (
        'model = numpyro.handlers.reparam(model, config={"theta": LocScaleReparam(0)})',
    )


def test_centredness_follows_the_data(made):
    """Exact here is tau²/(tau² + sigma²) at tau near 1: above .999 and below .002."""
    found = made[2].centredness
    assert np.all(found["theta"][:2] > 0.95)
    assert np.all(found["theta"][2:] < 0.05)
    assert np.all(found["heavy"] < 0.1)  # nothing is observed there
    assert "theta: centredness 0.0" in str(made[2])


def test_the_same_density_in_other_coordinates(made):
    """log p(u) = log p(x) + log |dx/du| at random points, with x as NumPyro's handler gives it."""
    target, _, model = made
    other = mc.target(model, data=DATA)
    place = jax.jit(lambda u: other.constrain(u))
    for seed in range(3):
        u = np.random.default_rng(seed).standard_normal(other.dim)

        def x_of(u):
            values = other.constrain(u)
            values = values | {"tau": jnp.log(values["tau"])}
            return jnp.concatenate([jnp.ravel(values[name]) for name, _ in target.sites])

        log_det = np.linalg.slogdet(np.asarray(jax.jacfwd(x_of)(u)))[1]
        expected = float(target.log_density(x_of(u))) + log_det
        assert float(other.log_density(u)) == pytest.approx(expected, abs=1e-8)
        assert place(u)["theta"].shape == (4,)


def test_a_model_without_hierarchies_stays_as_it_is():
    def plain(y):
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(x, 1), obs=y)

    fit = mc.fit(mc.target(plain, data={"y": 1.0}), seed=0, progress=False)
    model = mc.reparametrised(plain, fit, data={"y": 1.0})
    assert model.centredness == {}
    assert mc.target(model, data={"y": 1.0}).names == ("x",)


def test_other_models_and_fits_are_refused(made):
    with pytest.raises(OptionError, match="not NumPyro's"):
        mc.reparametrised(mc.target(lambda x: -jnp.sum(x["a"] ** 2), init={"a": 0.0}), made[1])

    def another(y, sigma):
        numpyro.sample("y", dist.Normal(numpyro.sample("other", dist.Normal(0, 1)), sigma), obs=y)

    with pytest.raises(OptionError, match="not of this model"):
        mc.reparametrised(another, made[1], data=DATA)
