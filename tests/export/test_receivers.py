"""Every receiver that can be installed is run under the metric handed to it, on scales from 10⁻³ to 10³ and correlation .95.

Each must draw the right moments in the right coordinates, with at most twice our own leapfrogs at the same step size and a
fifth of its own without a metric; the same checks must fail when the metric is inverted on purpose.
"""

import dataclasses
import os

import numpy as np
import pytest

import monochord as mc
from benchmarks import receiving
from benchmarks.receiving import DIM, MEAN, RECEIVERS, SMALLEST, TAKES_IDENTITY, WHITENER, Run
from monochord.mixing import ess_of_means
from monochord.testing import assert_mean_close

DRAWS = 400
SEED = 1 + int(os.environ.get("MONOCHORD_SEED", "0"))


def needs(name: str) -> None:
    if not receiving.is_here(name):
        pytest.skip(
            "CmdStan: set CMDSTAN to its folder, and pip install cmdstanpy"
            if name == "cmdstan"
            else f"pip install {name}"
        )


@pytest.fixture(scope="module")
def fit():
    return mc.fit(receiving.target(), seed=SEED)


@pytest.fixture(scope="module")
def own(fit):
    """Our leapfrogs at a step size, run once each."""
    known: dict[float, Run] = {}

    def at(step_size: float) -> Run:
        if step_size not in known:
            known[step_size] = receiving.ours(fit, DRAWS, SEED, step_size)
        return known[step_size]

    return at


@pytest.fixture(scope="module", params=sorted(RECEIVERS))
def received(request, fit):
    """One receiver's name and its run under the exported metric."""
    needs(request.param)
    return request.param, RECEIVERS[request.param](fit, DRAWS, SEED)


def assert_moments(run: Run) -> None:
    """Means and products of pairs of R⁻¹(x − mean), Σ = R Rᵀ, are 0 and I: false-fail rate 1e-6, and with 1e-3 an error of .3
    standard deviations in a mean or .6 in a product passes.

    The errors are sd/√ESS with ArviZ's ESS over all chains, which start at draws of the posterior.
    """
    z = np.einsum("ij,cnj->cni", WHITENER, run.draws - MEAN)
    pairs = np.tril_indices(DIM)
    terms = np.concatenate([z, z[..., pairs[0]] * z[..., pairs[1]]], axis=-1)
    expected = np.concatenate([np.zeros(DIM), pairs[0] == pairs[1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        error = terms.std((0, 1)) / np.sqrt(ess_of_means(terms))
    detect = np.concatenate([np.full(DIM, 0.3), np.full(len(pairs[0]), 0.6)])
    assert_mean_close(terms.mean((0, 1)), error, expected, must_detect=detect)


def assert_few_leapfrogs(run: Run, own: Run) -> None:
    """At most twice ours, which have moved at all: a chain that is stuck takes one leapfrog a draw."""
    assert run.leapfrogs <= 2.0 * own.leapfrogs, f"{run.leapfrogs:.2f} leapfrogs a draw, ours {own.leapfrogs:.2f}"
    assert run.leapfrogs >= 0.5 * own.leapfrogs, f"{run.leapfrogs:.2f} leapfrogs a draw, ours {own.leapfrogs:.2f}"


@pytest.mark.statistical
def test_draws_have_the_right_moments(received):
    assert_moments(received[1])


def test_leapfrogs_are_at_most_twice_ours(received, own):
    run = received[1]
    assert_few_leapfrogs(run, own(run.step_size))


def test_leapfrogs_are_at_most_a_fifth_of_those_without_a_metric(received, fit):
    """The identity at the step size that has the same acceptance, trees of at most 1,023 leapfrogs."""
    name, run = received
    if name not in TAKES_IDENTITY:
        pytest.skip(f"{name} cannot be held at the identity: without ours it makes a metric of its own")
    plain = RECEIVERS[name](
        receiving.with_identity(fit), 3, SEED, step_size=run.step_size * SMALLEST, initial=receiving.starts(fit)
    )
    assert run.leapfrogs <= plain.leapfrogs / 5.0, f"{run.leapfrogs:.2f} a draw, {plain.leapfrogs:.1f} without a metric"


def test_an_inverted_metric_is_caught(received, fit, own):
    """Negative control: what passes above must not pass with Σ⁻¹ for Σ."""
    name, run = received
    options = {"holds_step": True, "tune": 50} if name == "nutpie" else {}
    step = run.step_size
    wrong = RECEIVERS[name](
        receiving.with_inverse(fit), 50, SEED, step_size=step, initial=receiving.starts(fit), **options
    )
    with pytest.raises(AssertionError):
        assert_moments(wrong)
    with pytest.raises(AssertionError):
        assert_few_leapfrogs(wrong, own(step))


@pytest.mark.nightly
@pytest.mark.statistical
@pytest.mark.parametrize("name", sorted(RECEIVERS))
def test_a_diagonal_form_is_taken_too(name, fit):
    """Correlations stay, so that more leapfrogs are needed than with the whole metric and far fewer than with none."""
    needs(name)
    options = {"holds_step": True} if name == "nutpie" else {}
    run = RECEIVERS[name](fit, DRAWS, SEED, form="diagonal", **options)
    assert 6.0 < run.leapfrogs < 60.0
    z = np.einsum("ij,cnj->cni", WHITENER, run.draws - MEAN)
    error = z.std((0, 1)) / np.sqrt(ess_of_means(z))
    assert_mean_close(z.mean((0, 1)), error, np.zeros(DIM), must_detect=1.0)  # false-fail 1e-6, false-pass 1e-3


def momentum_to_velocity(name: str, export):
    """The receiver's own map from momentum to velocity under an exported metric."""
    if name == "mici":
        return lambda p: export.metric.inv @ p
    if name == "pymc":
        from pymc.step_methods.hmc.quadpotential import quad_potential

        return quad_potential(export.inverse_mass_matrix, is_cov=True).velocity
    if name == "numpyro":
        import jax
        from numpyro.infer.hmc_util import euclidean_kinetic_energy

        return jax.grad(lambda p: euclidean_kinetic_energy(export.inverse_mass_matrix, p))
    import jax
    from blackjax.mcmc.metrics import default_metric

    return jax.grad(default_metric(export.inverse_mass_matrix).kinetic_energy)


@pytest.mark.parametrize("form", ["dense", "diagonal", "low_rank"])
@pytest.mark.parametrize("name", ["blackjax", "mici", "numpyro", "pymc"])
def test_velocity_is_sigma_times_momentum(name, form, fit, rng):
    """The convention itself, exact: dx/dt = Σp in the receiver's own arithmetic, in its order of coordinates."""
    needs(name)
    if form == "low_rank" and name != "blackjax":
        pytest.skip(f"{name} takes no low-rank metric")
    metrics = {
        "dense": fit.gaussian.metric,
        "diagonal": mc.DiagonalMetric(receiving.SCALE),
        "low_rank": mc.LowRankMetric(
            receiving.SCALE, np.linalg.qr(rng.standard_normal((DIM, 2)))[0], np.array([7.0, 0.2])
        ),
    }
    given = dataclasses.replace(fit, gaussian=mc.Gaussian(fit.gaussian.mean, metrics[form]))
    arguments = {"mici": (receiving.target(),), "pymc": (receiving.pymc_model(),) if name == "pymc" else ()}.get(
        name, ()
    )
    export = getattr(mc.export, f"to_{name}")(given, *arguments)
    order = [receiving.NAMES.index(entry.replace("alpha_log__", "alpha")) for entry in export.names]
    momentum = rng.standard_normal(DIM) / receiving.SCALE[order]
    expected = np.asarray(metrics[form].dense())[np.ix_(order, order)] @ momentum
    velocity = np.asarray(momentum_to_velocity(name, export)(momentum))
    np.testing.assert_allclose(
        velocity / receiving.SCALE[order], expected / receiving.SCALE[order], rtol=1e-7, atol=1e-9
    )
