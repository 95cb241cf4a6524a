"""CmdStan itself under the metric handed to it: the compiled program in Prophet's wheel, on scales from 10⁻³ to 10³ and correlation .95.

The checks are those of `test_receivers.py`: right moments, leapfrogs at most twice ours and a fifth of those without a metric, and
a metric inverted on purpose is caught. Programs compiled from Stan code run there, where the variable CMDSTAN names a folder.
"""

import os

import numpy as np
import pytest

import monochord as mc
from benchmarks import stan_program
from benchmarks.receiving import Run, with_metric
from benchmarks.stan_program import DIM, ORDER, SMALLEST
from monochord.mixing import ess_of_means
from monochord.testing import assert_mean_close

DRAWS = 400
SEED = 1 + int(os.environ.get("MONOCHORD_SEED", "0"))

pytestmark = pytest.mark.skipif(stan_program.program() is None, reason="pip install prophet")


@pytest.fixture(scope="module")
def fit():
    made = mc.fit(stan_program.target(), seed=SEED)
    assert made.verdict == "trust" and made.names == stan_program.NAMES
    return made


@pytest.fixture(scope="module")
def received(fit):
    return stan_program.run(fit, DRAWS, SEED)


@pytest.fixture(scope="module")
def own(fit, received):
    return stan_program.ours(fit, DRAWS, SEED, received.step_size)


def assert_moments(run: Run) -> None:
    """Means and products of pairs of whitened draws are 0 and I: false-fail rate 1e-6, and with 1e-3 an error of .3 standard
    deviations in a mean or .6 in a product passes."""
    z = stan_program.standardised(run.draws)
    pairs = np.tril_indices(z.shape[-1])
    terms = np.concatenate([z, z[..., pairs[0]] * z[..., pairs[1]]], axis=-1)
    expected = np.concatenate([np.zeros(z.shape[-1]), pairs[0] == pairs[1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        error = terms.std((0, 1)) / np.sqrt(ess_of_means(terms))
    detect = np.concatenate([np.full(z.shape[-1], 0.3), np.full(len(pairs[0]), 0.6)])
    assert_mean_close(terms.mean((0, 1)), error, expected, must_detect=detect)


def assert_few_leapfrogs(run: Run, own: Run) -> None:
    """At most twice ours, which have moved at all: a chain that is stuck takes one leapfrog a draw."""
    assert 0.5 * own.leapfrogs <= run.leapfrogs <= 2.0 * own.leapfrogs, f"{run.leapfrogs:.2f}, ours {own.leapfrogs:.2f}"


@pytest.mark.statistical
def test_draws_have_the_right_moments(received):
    assert_moments(received)


def test_leapfrogs_are_at_most_twice_ours(received, own):
    assert_few_leapfrogs(received, own)


def test_leapfrogs_are_at_most_a_fifth_of_those_without_a_metric(received, fit):
    """The identity at the step size that has the same acceptance, trees of at most 1,023 leapfrogs."""
    initial = mc.export.to_plain(fit).arrays["initial"]
    plain = stan_program.run(
        with_metric(fit, np.eye(DIM)), 3, SEED, step_size=received.step_size * SMALLEST, initial=initial
    )
    assert received.leapfrogs <= plain.leapfrogs / 5.0, (
        f"{received.leapfrogs:.2f} a draw, {plain.leapfrogs:.1f} without"
    )


def test_an_inverted_metric_is_caught(received, fit, own):
    """Negative control: what passes above must not pass with Σ⁻¹ for Σ."""
    precision = np.asarray(fit.gaussian.metric.solve(np.eye(DIM)))
    initial = mc.export.to_plain(fit).arrays["initial"]
    inverted = with_metric(fit, (precision + precision.T) / 2)
    wrong = stan_program.run(inverted, 50, SEED, step_size=received.step_size, initial=initial)
    with pytest.raises(AssertionError):
        assert_moments(wrong)
    with pytest.raises(AssertionError):
        assert_few_leapfrogs(wrong, own)


def test_another_order_of_parameters_is_caught(fit, own, received):
    """Negative control: the metric in the fit's own order, which is not that of Stan's parameters block."""
    assert list(dict.fromkeys(name.split("[")[0] for name in fit.names)) != ORDER
    wrong = stan_program.run(fit, 50, SEED, parameters=["beta", "k", "m", "sigma_obs"])
    with pytest.raises(AssertionError):
        assert_few_leapfrogs(wrong, own)


def test_a_diagonal_form_is_taken_too(fit):
    """Correlations stay, so that more leapfrogs are needed than with the whole metric and far fewer than with none."""
    assert 6.0 < stan_program.run(fit, DRAWS, SEED, form="diagonal").leapfrogs < 60.0


def test_cmdstan_keeps_the_metric_and_adaptation_discards_it_as_the_note_says(fit):
    """By CmdStan's own report: ours without adaptation, another after 200 draws with it."""
    made = stan_program.export(fit, chains=1)
    scale = np.sqrt(np.outer(made.inverse_mass_matrix.diagonal(), made.inverse_mass_matrix.diagonal()))
    kept = stan_program.reported_metric(made, made.arguments.replace("method=sample", "method=sample num_samples=10"))
    np.testing.assert_allclose(
        kept / scale, made.inverse_mass_matrix / scale, atol=1e-4
    )  # printed with 6 digits or more
    engaged = made.arguments.replace("engaged=0", "engaged=1").replace("num_warmup=0", "num_warmup=200 num_samples=10")
    found = stan_program.reported_metric(made, engaged)
    assert np.max(np.abs(found - made.inverse_mass_matrix) / scale) > 0.05


def test_cmdstanpy_runs_with_the_options(fit, own, tmp_path):
    cmdstanpy = pytest.importorskip("cmdstanpy", reason="pip install cmdstanpy")
    made = stan_program.export(fit, chains=2)
    model = cmdstanpy.CmdStanModel(exe_file=stan_program.program())
    found = model.sample(
        data=stan_program.stan_data(), iter_sampling=100, seed=SEED, show_progress=False, output_dir=tmp_path,
        **made.sample_options,
    )  # fmt: skip
    leapfrogs = float(np.mean(found.method_variables()["n_leapfrog__"]))
    assert 0.5 * own.leapfrogs <= leapfrogs <= 2.0 * own.leapfrogs
    np.testing.assert_allclose(found.step_size, made.step_size, rtol=1e-5)
