"""Plots: what they draw is what they were given, on the axes they were given, and without matplotlib they say so."""

import os
import sys

import numpy as np
import pytest

import monochord as mc
from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric
from monochord.testing import gaussian_target

try:
    from matplotlib import pyplot
except ImportError:
    if os.environ.get("CI"):  # the test extra installs it: there a skip would hide that it did not
        raise
    pytest.skip("plots need matplotlib: pip install 'monochord[plot]'", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def no_window():
    backend = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(backend)


@pytest.fixture(scope="module")
def problem():
    covariance = np.array([[4.0, 1.5, 0.1], [1.5, 1.0, 0.05], [0.1, 0.05, 0.02]])
    target = gaussian_target(np.array([1.0, -2.0, 3.0]), covariance)
    fit = mc.fit(target, seed=0)
    return target, fit, covariance


def test_spectrum_has_a_stroke_a_mode_at_its_frequency(problem):
    target, fit, covariance = problem
    figures = mc.spectrum(target, fit, at="mean", seed=0)
    ax = mc.plot.spectrum(figures)
    identity = ax.collections[0].get_segments()
    expected = np.sqrt(np.linalg.eigvalsh(np.linalg.inv(covariance)))
    np.testing.assert_allclose(sorted(segment[0][0] for segment in identity), expected, rtol=1e-5)
    assert ax.get_xscale() == "log"
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == ["identity", "diagonal", "fitted"]
    own = pyplot.figure().add_subplot()
    assert mc.plot.spectrum(figures, ax=own) is own


def test_fit_has_a_point_a_step(problem):
    _, fit, _ = problem
    elbo, residual = mc.plot.fit(fit)
    steps = [info for info in fit.trace if info.elbo is not None]
    np.testing.assert_allclose(elbo.lines[0].get_ydata(), [info.elbo.value for info in steps])
    np.testing.assert_array_equal(residual.lines[0].get_xdata(), [info.gradients for info in steps])


def test_trajectory_of_an_exact_gaussian_turns_once_in_a_period(problem):
    """A circle of one radius under the fitted metric: |z|² is kept to the leapfrog's error, and the start is shared."""
    target, _, covariance = problem
    exact = Gaussian(np.array([1.0, -2.0, 3.0]), DenseMetric.from_covariance(covariance))
    identity, fitted = mc.plot.trajectory(target, exact, num_leapfrogs=12)
    paths = [np.stack(ax.lines[0].get_data(), axis=1) for ax in (identity, fitted)]
    np.testing.assert_allclose(paths[0][0], paths[1][0])
    assert all(len(path) == 13 for path in paths)
    assert np.abs(paths[1][:, 0]).max() < 1.35  # amplitude √(1.2² + .4²) = 1.265 and the leapfrog's error
    assert np.ptp(paths[1][:, 0]) > 3.0 * np.ptp(paths[0][:, 0])


def test_warm_up_has_a_point_a_piece(problem):
    target, fit, _ = problem
    data = mc.sample(target, fit=fit, seed=0, chains=2, draws=20)
    step, acceptance = mc.plot.warmup(data)
    assert step.lines[0].get_ydata()[-1] == data.sample_stats.attrs["step_size"]
    np.testing.assert_array_equal(acceptance.lines[0].get_xdata(), data["warmup_trace"]["iterations"].values)
    np.testing.assert_allclose(mc.plot.fit(data)[0].lines[0].get_ydata(), mc.plot.fit(fit)[0].lines[0].get_ydata())
    del data["warmup_trace"]
    with pytest.raises(mc.OptionError, match="warmup_trace"):
        mc.plot.warmup(data)


def test_one_axes_for_two_is_refused(problem):
    _, fit, _ = problem
    with pytest.raises(mc.OptionError, match="Pass two"):
        mc.plot.fit(fit, ax=pyplot.figure().add_subplot())


def test_without_matplotlib_the_pip_line_is_said(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(mc.MissingPackage, match=r"pip install 'monochord\[plot\]'"):
        mc.plot.fit(problem[1])
