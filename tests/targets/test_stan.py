"""Stan models: the adapter on BridgeStan's own Python package and a small C library with BridgeStan's interface."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

bridgestan = pytest.importorskip("bridgestan", reason="pip install 'monochord[stan]'")

import monochord as mc  # noqa: E402
from monochord.mixing import convergence  # noqa: E402
from monochord.targets import constrain_draws, evaluate, hessians  # noqa: E402
from monochord.testing import TargetLaws, assert_mean_close  # noqa: E402

HERE = Path(__file__).parent / "stan"
SCALE = np.array([0.1, 0.4, 1.0, 4.0, 0.5])
PRECISION = (np.eye(5) - 0.45 * (np.eye(5, k=1) + np.eye(5, k=-1))) / np.outer(SCALE, SCALE)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """`library(threads, *flags)`: the C library, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) for a library with BridgeStan's interface")
    folder = tmp_path_factory.mktemp("stan")

    def build(threads=True, *flags):
        path = folder / f"gaussian_{threads}_{len(flags)}_model.so"
        if not path.exists():
            major, minor, patch = bridgestan.__version__.split(".")[:3]
            version = [f"-DBS_MAJOR={major}", f"-DBS_MINOR={minor}", f"-DBS_PATCH={patch}"]
            defined = [*version, f'-DTHREADS="{str(threads).lower()}"', *flags]
            command = [compiler, "-O1", "-shared", "-fPIC", *defined, "-o", str(path), str(HERE / "gaussian.c"), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True)
        return path

    return build


@pytest.fixture(scope="session")
def model(library):
    """`model(shift=2.5, threads=True, *flags)`: a StanModel."""
    return lambda shift=2.5, threads=True, *flags: bridgestan.StanModel(
        library(threads, *flags), f'{{"shift": {shift}}}', warn=False
    )


class TestStanLaws(TargetLaws):
    @pytest.fixture(autouse=True)
    def _model(self, model):
        self.model = model

    def target(self):
        return mc.target(self.model())

    def other_target(self):
        return mc.target(self.model(-1.0))


def test_names_and_arrays_follow_stan_column_by_column(model):
    """Catches: rows and columns mixed up, indices from 1, transformed parameters lost."""
    target = mc.target(model())
    assert target.names == ("theta[0, 0]", "theta[1, 0]", "theta[0, 1]", "theta[1, 1]", "sigma")
    made = constrain_draws(target, np.array([[1.0, 2.0, 3.0, 4.0, np.log(5.0)]]))
    np.testing.assert_array_equal(made["theta"][0], [[1.0, 3.0], [2.0, 4.0]])
    np.testing.assert_allclose([made["sigma"][0], made["total"][0]], [5.0, 10.0])


def test_density_gradient_and_hessian_are_the_librarys(model, rng):
    """Catches: propto or jacobian off (the library then gives NaN), a sign lost."""
    target = mc.target(model())
    x = rng.standard_normal((9, 5))
    centred = x - 2.5 - np.arange(5)
    points = evaluate(target, x)
    np.testing.assert_allclose(points.score, -centred @ PRECISION, rtol=1e-10)
    np.testing.assert_allclose(points.log_density, -0.5 * np.sum(centred @ PRECISION * centred, axis=1), rtol=1e-10)
    np.testing.assert_allclose(hessians(target, x[:2]), np.stack([PRECISION] * 2), rtol=1e-10, atol=1e-10)


def test_without_second_derivatives_gradients_are_differenced(model):
    """Catches: NaN Hessians from a BridgeStan model whose nested autodiff fails."""
    target = mc.target(model(2.5, True, "-DNO_SECOND_DERIVATIVES"))
    np.testing.assert_allclose(hessians(target, np.ones((1, 5)))[0], PRECISION, rtol=1e-6, atol=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", [pytest.param("nuts", marks=pytest.mark.nightly), "hmc"])
def test_both_kernels_sample_it(kernel, model, seed):
    """Five means at a false-fail rate of 1e-6 each; domain errors are rejected proposals.

    Catches: gradients of another point under threads, a domain error that ends the run.
    """
    target = mc.target(model())
    data = mc.sample(target, kernel=kernel, target_ess=700, seed=seed, progress=False)
    sd = np.sqrt(np.diag(np.linalg.inv(PRECISION)))
    x = data.unconstrained_posterior["x"].values
    ess, _ = convergence(x)
    for index in range(5):
        error = sd[index] / np.sqrt(ess[index])
        assert_mean_close(
            x[:, :, index].mean(), error, 2.5 + index, must_detect=0.4 * sd[index], false_fail=1e-6, false_pass=1e-3
        )
    assert data.sample_stats.attrs["status"] == "target ESS reached"
    assert np.all(data.posterior["sigma"].values > 0)


def test_a_model_compiled_without_threads_is_called_by_one_chain_at_a_time(model):
    """Stan's autodiff is one stack for a process then. Catches: crashes of what users compile by default."""
    assert mc.target(model(2.5, True)).model.parallel
    assert not mc.target(model(2.5, False)).model.parallel


def test_a_compiled_library_and_its_data_make_a_model(library, tmp_path):
    """Data as a dictionary and as a file. Catches: data of a file taken for text."""
    path = tmp_path / "data.json"
    path.write_text('{"shift": -1.5}')
    from_file = mc.target(library(), data=str(path))
    from_dictionary = mc.target(str(library()), data={"shift": np.float64(-1.5)})
    x = np.ones((2, 5))
    np.testing.assert_array_equal(evaluate(from_file, x).score, evaluate(from_dictionary, x).score)


def test_bad_input_says_what_to_do(library, model, tmp_path, monkeypatch):
    """Catches: BridgeStan's traceback in place of a sentence."""
    with pytest.raises(mc.DataError, match="variable name=shift"):
        mc.target(library(), data={"shift": "wrong"})
    with pytest.raises(mc.OptionError, match="holds its data already"):
        mc.target(model(), data={"shift": 1.0})
    with pytest.raises(mc.ModelError, match="does not exist"):
        mc.target(tmp_path / "absent.stan")
    file = tmp_path / "model.stan"
    file.write_text("parameters { real x; } model { x ~ std_normal(); }")
    monkeypatch.setenv("BRIDGESTAN", str(tmp_path / "no_source_tree"))
    with pytest.raises(mc.ModelError, match="could not compile"):
        mc.target(file)


NEEDS_SOURCE = pytest.mark.skipif(
    not os.environ.get("BRIDGESTAN"),
    reason="BridgeStan's source tree is not installed by pip: set the environment variable BRIDGESTAN to one",
)


@NEEDS_SOURCE
@pytest.mark.nightly
def test_a_stan_file_is_compiled_and_sampled(tmp_path, seed):
    """A real Stan model with a constrained parameter, a domain error and generated quantities left out."""
    file = tmp_path / "normal.stan"
    file.write_text(
        "data { int<lower=1> N; vector[N] y; }\n"
        "parameters { real mu; real<lower=0> sigma; }\n"
        "transformed parameters { vector[2] pair = [mu, sigma]'; }\n"
        "model { mu ~ normal(0, 10); sigma ~ exponential(1); y ~ normal(mu, sigma); }\n"
    )
    y = np.random.default_rng(0).normal(3.0, 2.0, 400)
    data = mc.sample(file, data={"N": 400, "y": y.tolist()}, seed=seed, progress=False)
    assert abs(float(data.posterior["mu"].mean()) - y.mean()) < 0.05
    assert data.posterior["pair"].shape[2:] == (2,)
