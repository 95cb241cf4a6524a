"""Pairs of NumPy functions: counted to the last call, called from the chains' threads, their errors kept for the user."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import monochord as mc
from monochord import timing
from monochord.spectra._lanczos import lanczos_modes
from monochord.targets import constrain_draws, evaluate, hessian_products, hessians, numpy_target
from monochord.testing import TargetLaws, assert_mean_close

DIM = 20


def _log_density(params, shift, scale=1.3):
    a, b = params["a"] - shift, params["b"]
    return -0.25 * np.sum(a**4) - 0.5 * np.sum(a**2) - 0.5 * (b / scale) ** 2 + 0.3 * b * a[0]


def _gradient(params, shift, scale=1.3):
    a, b = params["a"] - shift, params["b"]
    return {"a": -(a**3) - a + 0.3 * b * np.array([1.0, 0.0]), "b": -b / scale**2 + 0.3 * a[0]}


def _product(params, v, shift, scale=1.3):
    a = params["a"] - shift
    return {
        "a": (-3.0 * a**2 - 1.0) * v["a"] + 0.3 * v["b"] * np.array([1.0, 0.0]),
        "b": -v["b"] / scale**2 + 0.3 * v["a"][0],
    }


INIT = {"a": np.array([0.2, -0.7]), "b": 0.4}


def _target(shift=0.5, functions=(_log_density, _gradient), **options):
    return mc.target(functions, init=INIT, data={"shift": shift * np.array([1.0, -2.0])}, **options)


class TestNumPyLaws(TargetLaws):
    def target(self):
        return _target()

    def other_target(self):
        return _target(1.5, constrain=None)


def test_names_values_and_reported_quantities():
    """Catches: leaves beside the wrong names, `constrain` called with data it did not get."""
    target = _target(
        constrain=lambda params, shift: {
            "sum": params["a"].sum() + shift[0],
            "square": np.outer(INIT["a"], params["a"]),
        }
    )
    assert target.names == ("a[0]", "a[1]", "b")
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    made = constrain_draws(target, x)
    np.testing.assert_allclose(made["sum"], [3.5, 9.5])
    assert made["square"].shape == (2, 2, 2)


def test_the_three_ways_to_pass_a_gradient_agree(rng):
    """Catches: a gradient taken for a value, a Hessian product for a gradient."""
    x, v = rng.standard_normal((2, 5, 3))
    pair = _target()
    both = mc.target(
        lambda p, shift: (_log_density(p, shift), _gradient(p, shift)),
        gradient=True,
        init=INIT,
        data={"shift": np.array([0.5, -1.0])},
    )
    named = mc.target(_log_density, gradient=_gradient, init=INIT, data={"shift": np.array([0.5, -1.0])})
    for other in (both, named):
        np.testing.assert_array_equal(evaluate(other, x).score, evaluate(pair, x).score)
        np.testing.assert_array_equal(evaluate(other, x).log_density, evaluate(pair, x).log_density)
    exact = _target(functions=(_log_density, _gradient, _product))
    np.testing.assert_allclose(hessian_products(pair, x, v), hessian_products(exact, x, v), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(hessians(pair, x), hessians(exact, x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_differences_of_gradients_bear_directions_of_any_length(size, rng):
    """A direction in the posterior's own units may be 10⁻⁶ long, or 10⁶. Catches: a step that rounding swallows."""
    scale = size * np.array([1.0, 0.5])
    target = numpy_target((lambda x: -np.sum(np.cosh(x / scale)), lambda x: -np.sinh(x / scale) / scale), np.zeros(2))
    z, v = rng.standard_normal((2, 4, 2))
    found = hessian_products(target, z * scale, v * scale) * scale
    np.testing.assert_allclose(found, np.cosh(z) * v, rtol=1e-4)


def test_jax_transformations_of_the_target_count_each_gradient_once():
    """Lanczos differentiates the compiled density forward over reverse. Catches: gradients made twice or thrown away."""
    target = _target()
    before = target.model.num_gradients
    modes, gradients = lanczos_modes(target, mc.identity_metric(3), np.zeros((2, 3)), np.random.default_rng(0), 3)
    assert target.model.num_gradients - before == gradients
    eigenvalues = np.linalg.eigvalsh(hessians(target, np.zeros((1, 3)))[0])
    np.testing.assert_allclose(modes.squared[[0, -1]], eigenvalues[[0, -1]], rtol=1e-6)


class _Gaussian:
    """N(mean, covariance) in `DIM` dimensions, which notes who calls."""

    def __init__(self, mean, covariance):
        self.mean, self.precision = mean, np.linalg.inv(covariance)
        self.calls, self.threads, self.running, self.most_running = 0, set(), 0, 0
        self._lock = threading.Lock()

    def log_density(self, x):
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.threads.add(threading.get_ident())
        value = -0.5 * (x - self.mean) @ self.precision @ (x - self.mean)
        with self._lock:
            self.running -= 1
        return value

    def gradient(self, x):
        return -self.precision @ (x - self.mean)


@pytest.mark.statistical
def test_both_kernels_sample_a_gaussian_and_every_call_is_counted(ugly_mean, ugly_covariance, seed):
    """40 means at a false-fail rate of 1e-6 each. Catches: gradients in another order, chains that share a buffer,
    calls that no count knows."""
    model = _Gaussian(ugly_mean(DIM), ugly_covariance(DIM))
    target = mc.target((model.log_density, model.gradient), init=np.zeros(DIM))
    sd = np.sqrt(np.diag(ugly_covariance(DIM)))
    for kernel in ("nuts", "hmc"):
        model.calls = 0
        data = mc.sample(target, kernel=kernel, target_ess=700, seed=seed, progress=False)
        attrs = data.sample_stats.attrs
        assert model.calls == attrs["gradients_fit"] + attrs["gradients_warmup"] + attrs["gradients_sampling"]
        assert attrs["status"] == "target ESS reached" and attrs["idle_lanes"] == 0
        for index, row in enumerate(mc.summary(data)):
            error = sd[index] / np.sqrt(row.ess_bulk)
            assert_mean_close(
                row.mean, error, model.mean[index], must_detect=0.4 * sd[index], false_fail=1e-6, false_pass=1e-3
            )
    assert len(model.threads) > 1


def test_functions_that_cannot_bear_threads_take_turns(ugly_mean, ugly_covariance):
    """Catches: `parallel=False` that some path forgets."""
    model = _Gaussian(ugly_mean(DIM), ugly_covariance(DIM))
    target = mc.target((model.log_density, model.gradient), init=np.zeros(DIM), parallel=False)
    mc.sample(target, draws=60, seed=0, progress=False)
    assert model.calls > 500 and model.most_running == 1


class _Fault:
    """The Gaussian, until a call raises."""

    def __init__(self, at_call: int, error: BaseException):
        self.left, self.error = at_call, error

    def log_density(self, x):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return -0.5 * x @ x


def test_an_error_reaches_the_user_with_its_cause():
    """In the fit, where nothing is worth keeping. Catches: XLA's error in its place, a target that stays broken."""
    fault = _Fault(3, KeyError("the cause"))
    target = mc.target((fault.log_density, lambda x: -x), init=np.zeros(DIM))
    with pytest.raises(mc.ModelError, match="log_density` raised KeyError") as caught:
        mc.sample(target, draws=1000, seed=0, progress=False)
    assert caught.value.__cause__ is fault.error
    fault.left = 10**9
    assert mc.fit(target, seed=0, progress=False).verdict == "trust"


def test_an_error_within_chains_keeps_what_was_drawn():
    """Catches: a run that goes on, draws that are lost, a place in the model that is not named."""
    fault = _Fault(700, KeyError("the cause"))
    target = mc.target((fault.log_density, lambda x: -x), init=np.zeros(DIM))
    data = mc.sample(target, draws=1000, seed=0, progress=False)
    status = data.sample_stats.attrs["status"]
    assert status.startswith("stopped: `log_density` raised KeyError: 'the cause'")
    assert "of `test_numpy.py`" in status
    assert 0 < data.posterior.sizes["draw"] < 1000


def test_ctrl_c_within_a_call_ends_the_run():
    """Catches: KeyboardInterrupt swallowed by the callback."""
    fault = _Fault(700, KeyboardInterrupt())
    target = mc.target((fault.log_density, lambda x: -x), init=np.zeros(DIM))
    try:
        data = mc.sample(target, draws=1000, seed=0, progress=False)
    except KeyboardInterrupt:
        return
    assert data.sample_stats.attrs["status"] == "interrupted"


def test_points_outside_the_support_are_rejected(seed):
    """A density that raises where |x| > 2.5 as Stan's domain errors do; no draw lies there.

    Catches: a domain error that ends the run, a rejected point that is kept.
    """

    def log_density(x):
        if np.any(np.abs(x) > 2.5):
            raise FloatingPointError("outside")
        return -0.5 * x @ x

    target = mc.target((log_density, lambda x: -x), init=np.zeros(3))
    data = mc.sample(target, draws=200, step_size=0.7, kernel="hmc", seed=seed, progress=False)
    assert np.all(np.abs(data.posterior["x"].values) <= 2.5)
    assert target.model.num_rejected > 0 and "outside" in str(target.model.last_rejection)


@pytest.mark.parametrize(
    ("functions", "options", "message"),
    [
        ((lambda x: x, lambda x: -x), {}, "one number for each point"),
        ((lambda x: -0.5 * x @ x, lambda x: -x[:2]), {}, "Each parameter has one derivative"),
        ((lambda x: 1 / 0, lambda x: -x), {}, "could not be evaluated at `init`: ZeroDivisionError"),
        ((lambda x: -0.5 * x @ x,), {}, "pair holds the functions"),
        ((lambda x: -0.5 * x @ x, lambda x: -x), {"init": None}, "without `init`"),
        ((lambda x: -0.5 * x @ x, lambda x: -x), {"dims": {"x": ["a", "b"]}}, "one axis for each dimension"),
        ((lambda x: -0.5 * x @ x, lambda x: -x), {"dims": {"y": ["a"]}}, "does not report"),
        ((lambda x: -0.5 * x @ x, lambda x: -x), {"dims": {"x": ["draw"]}}, "own axes are chain and draw"),
    ],
)
def test_bad_input_says_what_to_do(functions, options, message):
    """Catches: an error of JAX's or NumPy's inside a chain instead of a sentence before it."""
    with pytest.raises((mc.ModelError, mc.OptionError), match=message):
        mc.target(functions, **{"init": np.zeros(3), **options})


def test_labels_reach_the_output():
    """Catches: dims lost on the way to ArviZ, coordinates of another axis."""
    target = _target(coords={"side": ["left", "right"]}, dims={"a": "side"})
    data = mc.sample(target, draws=20, seed=0, kernel="hmc", metric="dense", progress=False)
    assert data.posterior["a"].dims == ("chain", "draw", "side")
    assert list(data.posterior["side"].values) == ["left", "right"]


def test_another_model_of_the_same_dimension_compiles_nothing():
    """Catches: functions of the user's baked into compiled programs."""
    options = {"draws": 20, "seed": 0, "kernel": "hmc", "metric": "dense", "progress": False}
    mc.sample(_target(), **options)
    timing.listen()
    before = timing.num_compiled()
    mc.sample(_target(2.5), **options)
    assert timing.num_compiled() == before


LARGE = """
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np, monochord as mc
target = mc.target((lambda x: -0.5 * x @ x, lambda x: -x), init=np.zeros(20_000))
options = {"fit": False, "metric": "identity", "kernel": "hmc", "step_size": 0.1, "max_tree_depth": 3}
data = mc.sample(target, draws=10, seed=0, progress=False, **options)
print(data.posterior.sizes["draw"], bool(np.any(data.sample_stats.diverging)))
"""


def test_chains_of_many_dimensions_do_not_block_each_other():
    """`jax.pure_callback` stands still for ever here, in 9 of 10 runs on two cores. Catches: JAX arrays in the callback."""
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["10", "False"], run.stderr


SINGLE = """
import numpy as np, monochord as mc
seen = set()
def log_density(x):
    seen.add(str(x.dtype))
    return -0.5 * x @ x
target = mc.target((log_density, lambda x: -x), init=np.zeros(3))
data = mc.sample(target, draws=20, seed=0, kernel="hmc", progress=False)
print(seen, data.unconstrained_posterior["x"].dtype)
"""


def test_single_precision_gives_float64_to_the_functions():
    """Catches: float32 handed to functions in another language that expect doubles."""
    run = subprocess.run([sys.executable, "-c", SINGLE], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "{'float64'} float32", run.stderr


def test_a_density_that_always_raises_says_what_it_raised():
    """Catches: "not finite" where the model itself knew why."""

    def log_density(x):
        if np.any(x != 0):
            raise ValueError("the matrix is singular")
        return 0.0

    with pytest.raises(mc.ModelError, match="last error: ValueError: the matrix is singular"):
        mc.fit((log_density, lambda x: -x), init=np.zeros(2), seed=0, progress=False)
