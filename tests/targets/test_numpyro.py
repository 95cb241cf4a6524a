"""`numpyro_target`: constrained and dynamic supports, deterministic sites, and errors that say what to do."""

import numpy as np
import pytest

numpyro = pytest.importorskip("numpyro")
import jax.numpy as jnp  # noqa: E402
import numpyro.distributions as dist  # noqa: E402
import scipy.stats  # noqa: E402
from numpyro.infer.reparam import LocScaleReparam  # noqa: E402

import monochord as mc  # noqa: E402
from monochord import ModelError  # noqa: E402
from monochord.targets import constrain_draws, evaluate, numpyro_target  # noqa: E402
from monochord.testing import TargetLaws  # noqa: E402


def _model(y, num_groups=2):
    scale = numpyro.sample("scale", dist.HalfNormal(2.5))
    limit = numpyro.sample("limit", dist.Uniform(1.0, 4.0))
    below = numpyro.sample("below", dist.Uniform(-0.5, limit))  # its support moves with another site
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.array([1.5, 2.0, 3.0])))
    with numpyro.plate("groups", num_groups):
        effect = numpyro.sample("effect", dist.Normal(0.3, scale))
    numpyro.deterministic("ratio", below / limit)
    numpyro.sample("y", dist.Normal(effect.sum() + below + weights[0], 0.7), obs=y)


class TestNumPyroLaws(TargetLaws):
    def target(self):
        return numpyro_target(_model, {"y": np.array([0.5, 1.7, -2.2, 0.1]), "num_groups": 2})

    def other_target(self):
        return numpyro_target(_model, {"y": np.array([5.5, 0.7, 3.2, 2.1]), "num_groups": 2})


@pytest.fixture
def target():
    return TestNumPyroLaws().target()


def test_names_and_unconstrained_sizes(target):
    """A simplex of 3 has 2 coordinates. Catches: constrained shapes used for unconstrained ones."""
    assert target.names == ("scale", "limit", "below", "weights[0]", "weights[1]", "effect[0]", "effect[1]")


def test_draws_lie_in_their_supports(target, rng):
    """Catches: a moving support frozen at the first run's value; deterministic sites lost, observed ones reported."""
    draws = constrain_draws(target, rng.normal(0.0, 3.0, (50, target.dim)))
    assert set(draws) == {"scale", "limit", "below", "weights", "effect", "ratio"}
    assert draws["weights"].shape == (50, 3)
    np.testing.assert_allclose(draws["weights"].sum(1), 1.0, rtol=1e-12)
    assert np.all(draws["scale"] > 0)
    assert np.all((draws["limit"] >= 1) & (draws["limit"] <= 4))
    assert np.all((draws["below"] >= -0.5) & (draws["below"] <= draws["limit"]))
    assert draws["below"].max() > 1.0, "the moving support was never used beyond its smallest limit"
    np.testing.assert_allclose(draws["ratio"], draws["below"] / draws["limit"], rtol=1e-12)


def test_density_includes_the_log_jacobians():
    """Against scipy on log scale. Catches: a missing log Jacobian, a likelihood counted twice."""

    def model(y):
        scale = numpyro.sample("scale", dist.Gamma(2.5, 0.8))
        numpyro.sample("y", dist.Normal(0.4, scale), obs=y)

    y = np.array([0.5, 1.7, -2.2])
    target = numpyro_target(model, {"y": y})
    x = np.array([[-0.7], [0.2], [1.1]])
    scale = np.exp(x[:, 0])
    expected = scipy.stats.gamma(2.5, scale=1 / 0.8).logpdf(scale) + x[:, 0]
    expected += scipy.stats.norm(0.4, scale[:, None]).logpdf(y).sum(1)
    np.testing.assert_allclose(evaluate(target, x).log_density, expected, rtol=1e-9)


def test_observed_data_hold_the_observed_sites_only(target):
    """Catches: covariates or sizes in the output's observed group."""
    observed = target.observed_data()
    assert set(observed) == {"y"}
    np.testing.assert_array_equal(observed["y"], [0.5, 1.7, -2.2, 0.1])


def test_observed_data_under_another_argument_name_are_found():
    """The site is `y`, the argument `counts`. Catches: names of sites looked up among arguments only."""

    def model(counts):
        rate = numpyro.sample("rate", dist.Exponential(0.3))
        numpyro.sample("y", dist.Poisson(rate), obs=counts)

    observed = numpyro_target(model, {"counts": np.array([3, 1, 4])}).observed_data()
    assert [list(value) for value in observed.values()] == [[3, 1, 4]]


def _discrete():
    p = numpyro.sample("p", dist.Beta(2.0, 3.0))
    numpyro.sample("state", dist.Bernoulli(p))


def _param():
    shift = numpyro.param("shift", 0.5)
    numpyro.sample("x", dist.Normal(shift, 1.5))


def _only_observed():
    numpyro.sample("y", dist.Normal(0.3, 1.5), obs=jnp.array([0.5, 1.0]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (_discrete, "`state` is discrete.*Sum it out"),
        (_param, "`shift`.*prior"),
        (_only_observed, "no latent sample sites.*init"),
        (lambda: None, "no latent"),
    ],
)
def test_models_that_cannot_be_sampled_are_named(model, words):
    """Catches: a sampler that moves a discrete site, a `param` that stays where it began."""
    with pytest.raises(ModelError, match=words):
        numpyro_target(model)


def test_observed_discrete_sites_are_fine():
    """Catches: likelihoods refused together with latent discrete sites."""

    def model(y):
        p = numpyro.sample("p", dist.Beta(2.0, 3.0))
        numpyro.sample("y", dist.Bernoulli(p), obs=y)

    assert numpyro_target(model, {"y": np.array([1, 0, 1, 1])}).names == ("p",)


def test_missing_data_are_named_and_the_models_own_error_is_the_cause():
    """Catches: a wrapper that hides which argument was missing."""
    with pytest.raises(ModelError, match="y") as caught:
        numpyro_target(_model)
    assert isinstance(caught.value.__cause__, TypeError)


def _plated(J, y):
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("school", J), numpyro.handlers.reparam(config={"theta": LocScaleReparam(0.0)}):
        theta = numpyro.sample("theta", dist.Normal(0.4, tau))
    with numpyro.plate("part", 2, dim=-2), numpyro.plate("pupil", J):
        slope = numpyro.sample("slope", dist.Dirichlet(jnp.ones(3)))
        numpyro.deterministic("twice", 2.0 * slope[..., 0])
    numpyro.sample("y", dist.Normal(theta, 1.0).to_event(1), obs=y)


def test_plates_reparametrisation_and_labels_reach_the_output(seed):
    """A non-centred site is reported as the model names it, plates name axes, `coords` their places.

    Catches: labels of one plate along another's axis, deterministic sites of a reparametrised model lost.
    """
    data = {"J": 4, "y": np.array([0.5, 1.7, -2.2, 0.1])}
    target = mc.target(_plated, data=data, coords={"school": list("abcd")}, dims={"y": ["school"]})
    assert "theta_decentered[3]" in target.names
    posterior = mc.sample(target, draws=30, seed=seed, kernel="nuts", progress=False)
    assert posterior.posterior["theta"].dims == ("chain", "draw", "school")
    assert posterior.posterior["slope"].dims == ("chain", "draw", "part", "pupil", "slope_dim_2")
    assert posterior.posterior["twice"].dims == ("chain", "draw", "part", "pupil")
    assert list(posterior.posterior["school"].values) == list("abcd")
    assert posterior.observed_data["y"].dims == ("school",)
    np.testing.assert_allclose(
        posterior.posterior["theta"], 0.4 + posterior.posterior["theta_decentered"] * posterior.posterior["tau"]
    )
    with pytest.raises(mc.OptionError, match="one label for each place"):
        mc.target(_plated, data=data, coords={"school": list("abc")}, dims={"y": ["school"]})
