"""Simulation-based calibration of both kernels under every kind of fixed metric, with planted defects that must fail.

Rates of each assertion: it fails falsely once in 10⁶ runs, all quantities of a model together, and lets draws pass that are
wrong by the stated shift or spread once in 1000 (for a normal posterior, each quantity).
"""

import itertools

import jax.numpy as jnp
import pytest
from blackjax.mcmc import hmc

from monochord.sampling import _blackjax, _blackjax_nuts
from monochord.testing import assert_ranks_uniform
from tests.statistical.models import GROWTH_WITHOUT_JACOBIAN, MODELS
from tests.statistical.simulation import NUM_DRAWS, rough_metric, simulated_ranks

pytestmark = pytest.mark.statistical
KERNELS, METRICS = ("nuts", "hmc"), ("diagonal", "low rank", "dense")
QUICK = {"must_detect_shift": 0.32, "must_detect_scale": 1.4}  # of 1000 replications
FULL = {"must_detect_shift": 0.16, "must_detect_scale": 1.18}  # of 4000
PAIRS = (
    ("logistic", "nuts", "dense"), ("hierarchical", "nuts", "low rank"), ("growth", "nuts", "diagonal"),
    ("logistic", "hmc", "low rank"), ("hierarchical", "hmc", "diagonal"), ("growth", "hmc", "dense"),
)  # fmt: skip


def _check(name, kernel, metric_name, key, num, limits, **options):
    model = options.pop("model", MODELS[name])
    metric = rough_metric(MODELS[name], metric_name)
    ranks, moved = simulated_ranks(model, kernel, metric, key, num, **options)
    assert moved > 0.3, "the chains stand still, so ranks say nothing"
    assert_ranks_uniform(ranks, NUM_DRAWS, **limits)


@pytest.mark.parametrize(("name", "kernel", "metric"), PAIRS)
def test_ranks_are_uniform(name, kernel, metric, key):
    """Draws wrong by 0.32 posterior sd, or with an sd wrong by a factor 1.4, are found. Catches: any error of momentum, energy,
    acceptance, jitter or tree that moves the stationary law, of the target's Jacobian, or of a metric's factors."""
    _check(name, kernel, metric, key, 1000, QUICK)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "kernel", "metric"), list(itertools.product(MODELS, KERNELS, METRICS)))
def test_ranks_are_uniform_for_all(name, kernel, metric, key):
    """Every model, kernel and kind of metric; 0.16 sd and a factor 1.18 are found."""
    _check(name, kernel, metric, key, 4000, FULL)


def _always_accept(key, delta_energy, state, end_state):
    return end_state, (jnp.asarray(True), jnp.ones(()), None)


def _plant_hmc_acceptance(monkeypatch):
    """Every proposal is taken, whatever its energy."""

    def build_proposal(*arguments):
        return hmc.hmc_proposal(*arguments, sample_proposal=_always_accept)

    right = hmc.build_kernel
    monkeypatch.setattr(hmc, "build_kernel", lambda **options: right(build_proposal=build_proposal, **options))


def _plant_nuts_acceptance(monkeypatch):
    """The newer half of the tree is always taken, whatever its weight against the older half."""
    right = _blackjax_nuts.progressive_biased_sampling

    def planted(key, old, new):
        chosen = right(key, old._replace(weight=jnp.full_like(old.weight, -jnp.inf)), new)
        return chosen._replace(weight=jnp.logaddexp(old.weight, new.weight))

    monkeypatch.setattr(_blackjax_nuts, "progressive_biased_sampling", planted)


def _plant_momentum(monkeypatch):
    """Momenta of the metric 2.5 Σ beside the kinetic energy of Σ."""
    right = _blackjax.engine_metric

    def planted(metric):
        engine = right(metric)
        return engine._replace(sample_momentum=lambda key, x: engine.sample_momentum(key, x) / jnp.sqrt(2.5))

    monkeypatch.setattr(_blackjax, "engine_metric", planted)


@pytest.mark.parametrize("kernel", KERNELS)
def test_momentum_of_another_metric_is_caught(kernel, key, monkeypatch):
    """Negative control."""
    _plant_momentum(monkeypatch)
    with pytest.raises(AssertionError, match="not uniform"):
        _check("growth", kernel, "diagonal", key, 1000, QUICK, spare=1)


def test_missing_jacobian_is_caught(key):
    """Negative control: the target is that of rate and share, sampled in logarithm and logit. No kernel is at fault, so one is run."""
    with pytest.raises(AssertionError, match="not uniform"):
        _check("growth", "hmc", "diagonal", key, 1000, QUICK, model=GROWTH_WITHOUT_JACOBIAN, truth=MODELS["growth"])


@pytest.mark.parametrize(
    ("kernel", "metric", "plant"),
    [("hmc", "low rank", _plant_hmc_acceptance), ("nuts", "dense", _plant_nuts_acceptance)],
)
def test_wrong_acceptance_is_caught(kernel, metric, plant, key, monkeypatch):
    """Negative control, at a step size where energies are far from kept; the right kernel passes there."""
    _check("logistic", kernel, metric, key, 1000, QUICK, step_size=1.1)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match="not uniform"):
        _check("logistic", kernel, metric, key, 1000, QUICK, step_size=1.1, spare=2)
