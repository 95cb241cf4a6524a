"""Lines that write a hierarchy without centring: found, right, and shown only where a fit asks for them."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.fits import FitStatus
from monochord.fits._base import Repairs
from monochord.rewriting import rewrites, sentences
from monochord.spectra import Verdict
from monochord.targets import Hierarchy
from monochord.targets._stan_hierarchies import stan_hierarchies

SCHOOLS = """
data { int<lower=0> J; vector[J] y; vector<lower=0>[J] sigma; }
parameters {
  real mu;  // vector[J] not_me;
  real<lower=0> tau;
  vector[J] theta;
  array[2] real beta;
  real<lower=0> bounded;
  vector[J] apart;
}
transformed parameters { real twice = 2 * tau; real other; }
model {
  /* theta ~ normal(a, b); */
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  theta ~ normal(mu, tau);
  beta ~ student_t(4, 0, fmax(tau, 0.1));
  bounded ~ normal(mu, tau);
  for (j in 1:J) apart[j] ~ normal(mu + j, tau);
  y ~ normal(theta, sigma);
}
"""


def test_stan_declarations():
    found = {one.site: one for one in stan_hierarchies(SCHOOLS)}
    assert set(found) == {"theta", "beta"}  # bounded, in a loop with its own location, data: no declaration says those
    assert found["theta"].parents == ("mu", "tau")
    assert found["theta"].lines[0].startswith("vector<offset=mu, multiplier=tau>[J] theta;")
    assert "declared after mu, tau" in found["theta"].lines[0]
    assert found["beta"].lines[0].startswith("array[2] real<offset=0, multiplier=fmax(tau, 0.1)> beta;")


def test_stan_programs_without_hierarchies():
    assert stan_hierarchies("") == ()
    assert stan_hierarchies("parameters { real<offset=1> x; real s; } model { x ~ normal(0, exp(s)); }") == ()
    assert stan_hierarchies("parameters { real x; } model { x ~ normal(0, 1); target += 1; }") == ()


def schools(pm):
    """Two levels, with named dimensions, an index, a Student and an unnamed location."""
    with pm.Model(coords={"school": ["a", "b", "c"]}) as model:
        mu, tau, slope = pm.Normal("mu", 0, 5), pm.HalfNormal("tau", 5), pm.Normal("slope", 0, 1)
        group = pm.Data("group", np.array([0, 1, 2, 2]))
        theta = pm.Normal("theta", mu, tau, dims="school")
        pm.Normal("leaf", theta[group], tau, shape=(4,))
        pm.StudentT("heavy", nu=4, mu=0, sigma=tau, shape=(2,))
        pm.Normal("bent", mu + slope * np.arange(3.0), tau, dims="school")
        pm.Normal("alone", 0, 1)
        pm.Normal("y", theta, 1.0, observed=np.zeros(3))
    return model


@pytest.fixture(scope="module")
def pm():
    return pytest.importorskip("pymc", reason="pip install 'monochord[pymc]'")


@pytest.fixture(scope="module")
def pymc_model(pm):
    return schools(pm)


def test_pymc_lines_are_those_of_the_same_model(pm, pymc_model):
    """Joint log densities agree but for the Jacobian, the log of each scale, at random points."""
    from monochord.targets._pymc_hierarchies import pymc_hierarchies

    found = {one.site: one for one in pymc_hierarchies(pymc_model)}
    assert set(found) == {"theta", "leaf", "heavy", "bent"}
    assert found["theta"].parents == ("mu", "tau")
    assert found["bent"].parents == ("mu", "slope", "tau")
    with pm.Model(coords={"school": ["a", "b", "c"]}) as rewritten:
        names = {"pm": pm, "np": np, "location": None}
        names |= {"mu": pm.Normal("mu", 0, 5), "tau": pm.HalfNormal("tau", 5), "slope": pm.Normal("slope", 0, 1)}
        names["group"] = pm.Data("group", np.array([0, 1, 2, 2]))
        for site in ("theta", "leaf", "heavy"):
            exec("\n".join(found[site].lines), names)
        names["location"] = names["mu"] + names["slope"] * np.arange(3.0)  # as the comment says
        assert "# location: the one that it has now" in found["bent"].lines[1]
        exec("\n".join(found["bent"].lines), names)
        pm.Normal("alone", 0, 1)
        pm.Normal("y", names["theta"], 1.0, observed=np.zeros(3))
    old, new = mc.target(pymc_model), mc.target(rewritten)
    generator = np.random.default_rng(0)
    u = generator.standard_normal(new.dim)
    at = {name.partition("[")[0]: [] for name in new.names}
    for name, value in zip(new.names, u, strict=True):
        at[name.partition("[")[0]].append(value)
    values = {name: np.array(value) for name, value in new.constrain(jnp.asarray(u)).items()}
    tau = float(values["tau"])
    x = []
    for name in dict.fromkeys(name.partition("[")[0] for name in old.names):
        x += list(np.ravel(values[name])) if f"{name}_raw" in at else at[name]
    log_det = np.log(tau) * sum(len(at[f"{site}_raw"]) for site in found)
    np.testing.assert_allclose(
        float(new.log_density(jnp.asarray(u))), float(old.log_density(jnp.asarray(x))) + log_det, rtol=1e-10
    )


def told(verdict: str, name: str, share: float) -> mc.FitResult:
    """A fit that says so, and nothing else."""
    judgement = Verdict(verdict, ("so",))
    worst = (name, Estimate(share, 0.01, 50))
    return mc.FitResult(
        None, None, None, worst, None, FitStatus.converged, judgement, Cost(), Repairs(), (), (name,), None
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "name", "share", "sites"),
    [
        ("do not use", "tau_log__", 0.9, {"theta", "leaf", "heavy", "bent"}),
        ("start only", "leaf[2]", 0.5, {"leaf"}),
        ("start only", "leaf[2]", 0.01, set()),
        ("do not use", "alone", 0.9, set()),
        ("trust", "tau_log__", 0.9, set()),
    ],
)
def test_only_where_the_fit_found_trouble(pymc_model, verdict, name, share, sites):
    found = rewrites(mc.target(pymc_model), told(verdict, name, share))
    assert {one.site for one in found} == sites
    assert len(sentences(found)) == len(sites)


def test_other_targets_know_none():
    target = mc.target(lambda params: -jnp.sum(params["x"] ** 2) / 2, init={"x": np.zeros(2)})
    assert target.hierarchies() == ()
    assert rewrites(target, None) == []


def test_a_sentence_has_its_lines():
    text = sentences([Hierarchy("theta", ("mu", "tau"), ("one", "two"))])[0]
    assert text.startswith("`theta` gets location and scale from `mu` and `tau`")
    assert text.endswith(":\n    one\n    two")
