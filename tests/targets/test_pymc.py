"""PyMC models: transforms, names, labels and data as PyMC has them, on PyMC's own numbers."""

import os
from pathlib import Path

import numpy as np
import pytest

pm = pytest.importorskip("pymc", reason="pip install 'monochord[pymc]'")
import pytensor.tensor as pt  # noqa: E402
from arviz_stats.base.array import array_stats  # noqa: E402
from pytensor.graph.basic import Apply  # noqa: E402
from pytensor.graph.op import Op  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks.problems import load  # noqa: E402
from monochord.targets import constrain_draws, evaluate, with_data  # noqa: E402
from monochord.testing import TargetLaws, assert_mean_close  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:pymc.*")

FOLDER = Path(os.environ.get("MONOCHORD_POSTERIORDB", Path(__file__).parents[3] / "shared" / "posteriordb"))
QUICK = "FAST_COMPILE"  # PyMC's side in Python: nothing waits for a C compiler
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools():
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        sigma = pm.Data("sigma", ERRORS, dims="school")
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        theta_trans = pm.Normal("theta_trans", 0.0, 1.0, dims="school")
        theta = pm.Deterministic("theta", mu + tau * theta_trans, dims="school")
        pm.Normal("y", theta, sigma, observed=EFFECTS, dims="school")
    return model


def _many_supports():
    """Every kind of transform, a likelihood of counts, a potential, and data that set a size."""
    with pm.Model(coords={"group": ["a", "b"], "kind": ["x", "y", "z"]}) as model:
        x = pm.Data("x", np.array([[0.5, 1.0], [1.5, -1.0], [-0.7, 0.2], [0.1, 0.9]]))
        counts = pm.Data("counts", np.array([1, 0, 3, 2]))
        limit = pm.Uniform("limit", 1.0, 4.0)
        weights = pm.Dirichlet("weights", np.array([1.5, 2.0, 3.0]), dims="kind")
        cuts = pm.Normal(
            "cuts", 0.0, 1.0, shape=3, transform=pm.distributions.transforms.ordered, initval=[-1.0, 0.0, 1.0]
        )
        beta = pm.Normal("beta", 0.0, limit, shape=2)
        matrix = pm.LogNormal("matrix", 0.0, 0.5, dims=("group", "kind"))
        noise = pm.Normal("noise", 0.0, 0.3, shape=x.shape[0])
        pm.Potential("near", -0.1 * pt.sum((matrix - 1.5) ** 2))
        pm.Poisson("n", pt.exp(0.3 * x @ beta + 0.2 * weights[0] + 0.1 * cuts[1] + noise), observed=counts)
    return model


@pytest.fixture(scope="module")
def schools():
    return mc.target(eight_schools())


class TestPyMCLaws(TargetLaws):
    made = None

    def target(self):
        TestPyMCLaws.made = TestPyMCLaws.made or mc.target(_many_supports())
        return self.made

    def other_target(self):
        target = self.target()
        return with_data(target, {"counts": np.array([5, 2, 0, 1])})


def test_density_and_quantities_are_pymcs_own(rng):
    """Against PyMC's compiled log density and its point functions. Catches: value variables in another order, a lost
    Jacobian, potential or transform."""
    model = _many_supports()
    target = TestPyMCLaws().target()
    x = 0.4 * rng.standard_normal((3, target.dim))
    density = model.compile_logp(mode=QUICK)
    outputs = model.compile_fn(model.replace_rvs_by_values(model.unobserved_RVs), inputs=model.value_vars, mode=QUICK)
    found, made = evaluate(target, x), constrain_draws(target, x)
    for row in range(3):
        point, start = {}, 0
        for variable, value in model.initial_point().items():
            point[variable] = x[row, start : start + value.size].reshape(value.shape)
            start += value.size
        np.testing.assert_allclose(found.log_density[row], density(point), rtol=1e-9)
        for variable, value in zip(model.unobserved_RVs, outputs(point), strict=True):
            np.testing.assert_allclose(made[variable.name][row], value, rtol=1e-9)


def test_names_and_sizes_are_those_of_value_variables():
    """Catches: a simplex of 3 given 3 coordinates, a name without its transform."""
    names = TestPyMCLaws().target().names
    assert "limit_interval__" in names and "weights_simplex__[1]" in names and "weights_simplex__[2]" not in names
    assert "matrix_log__[1, 2]" in names


def test_other_data_are_pymcs_set_data(rng):
    """Catches: a covariate baked into the compiled density, counts that became floats."""
    changed = {"x": rng.standard_normal((4, 2)), "counts": [4, 0, 1, 7]}
    target, model = mc.target(_many_supports(), data=changed), _many_supports()
    with model:
        pm.set_data({name: np.asarray(value) for name, value in changed.items()})
    point = model.initial_point()
    np.testing.assert_allclose(
        evaluate(target, target.center[None]).log_density[0], model.compile_logp(mode=QUICK)(point), rtol=1e-9
    )
    np.testing.assert_array_equal(target.observed_data()["n"], changed["counts"])
    with pytest.raises(mc.DataError, match="field `x` has shape"):
        mc.target(model, data={"x": np.zeros((5, 2))})


def test_labels_data_and_deterministics_reach_the_output(schools):
    """Catches: coordinates of another model, deterministics lost, `pm.Data` taken for observations."""
    data = mc.sample(schools, draws=20, seed=0, kernel="hmc", progress=False)
    assert set(data.posterior.data_vars) == {"mu", "tau", "theta", "theta_trans"}
    assert data.posterior["theta"].dims == ("chain", "draw", "school")
    assert list(data.posterior["school"].values) == list("ABCDEFGH")
    np.testing.assert_array_equal(data.observed_data["y"], EFFECTS)
    np.testing.assert_array_equal(data.constant_data["sigma"], ERRORS)
    assert data.observed_data["y"].dims == ("school",) and set(data.constant_data.data_vars) == {"sigma"}


@pytest.mark.statistical
@pytest.mark.skipif(
    not FOLDER.is_dir(), reason="reference posteriors: no folder posteriordb (set MONOCHORD_POSTERIORDB)"
)
@pytest.mark.parametrize("kernel", [pytest.param("nuts", marks=pytest.mark.nightly), "hmc"])
def test_eight_schools_agree_with_the_reference(kernel, schools, seed):
    """The means against posteriordb's reference draws: errors of 0.3 sd are found, false failures once in 10⁶ runs.

    Catches: a wrong Jacobian, chains on another model's data.
    """
    reference = load("eight_schools-eight_schools_noncentered", FOLDER).reference
    data = mc.sample(schools, kernel=kernel, target_ess=1500, seed=seed, progress=False)
    posterior = data.posterior
    draws = {"mu": posterior["mu"].values, "tau": posterior["tau"].values}
    draws |= {f"theta[{i + 1}]": posterior["theta"].values[..., i] for i in range(8)}
    names = sorted(draws.keys() & reference.keys())
    assert len(names) == 10
    sd = np.array([reference[name].sd for name in names])
    assert_mean_close(
        np.array([draws[name].mean() for name in names]) / sd,
        np.array([array_stats.mcse(draws[name]) for name in names]) / sd,
        np.array([reference[name].mean for name in names]) / sd,
        expected_error=np.array([reference[name].mcse_mean for name in names]) / sd,
        must_detect=0.3,
    )


def test_importing_pymc_leaves_the_number_of_devices_alone(schools):
    """PyMC's JAX module asks XLA for 100 CPU devices. Catches: that request left for child processes."""
    import jax

    assert "force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", "")
    assert len(jax.devices("cpu")) < 100


def _discrete():
    pm.Normal("y", pm.Poisson("k", 2.0), 1.0, observed=1.0)


def _nothing_free():
    pm.Normal("y", 0.0, 1.0, observed=1.0)


class _Opaque(Op):
    """x², in Python only."""

    def make_node(self, x):
        return Apply(self, [x], [pt.dscalar()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(inputs[0] ** 2)


def _not_in_jax():
    pm.Potential("p", -_Opaque()(pm.Normal("x", 0.0, 1.0)))


def _minibatch():
    y = pm.Minibatch(np.arange(50.0), batch_size=5)
    pm.Normal("y", pm.Normal("mu", 0.0, 1.0), 1.0, observed=y, total_size=50)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_discrete, "discrete free variables k"),
        (_nothing_free, "no free variables"),
        (_not_in_jax, "cannot translate to JAX"),
        (_minibatch, "anew at each evaluation"),
    ],
)
def test_models_that_cannot_be_sampled_say_why(build, message):
    """Catches: PyTensor's traceback, or a minibatch frozen into a density."""
    with pm.Model() as model:
        build()
    with pytest.raises(mc.ModelError, match=message):
        mc.target(model)
