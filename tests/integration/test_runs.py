"""The public verbs that draw: until enough, its limits, going on, fits that are wrong, and runs without one."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import monochord as mc
from monochord.metrics import DenseMetric
from monochord.mixing import ess_of_means
from monochord.targets import with_data
from monochord.testing import funnel_target, gaussian_target

DIM = 5


@pytest.fixture(scope="module")
def gaussian():
    """A correlated Gaussian of unequal scales with its mean and covariance."""
    rotation = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0]
    scale = np.exp(np.linspace(-3.0, 3.0, DIM))
    core = (rotation * np.geomspace(1.0, 200.0, DIM)) @ rotation.T
    covariance = core * np.outer(scale, scale)
    mean = np.linspace(-4.0, 7.0, DIM)
    return gaussian_target(mean, (covariance + covariance.T) / 2), mean, (covariance + covariance.T) / 2


def _assert_moments(data, mean, covariance) -> None:
    """Whitened means 0 and squares 1 within 5 Monte Carlo errors: ten of them fail by chance once in 100,000 runs, and at an
    ESS of 400 a mean that is .5 sd off, or a variance 1.6 times too large, passes less than once in 1,000."""
    x = data.unconstrained_posterior["x"].values
    z = (x - mean) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    for values, expected in ((z, 0.0), (z**2, 1.0)):
        error = np.sqrt(values.var((0, 1)) / ess_of_means(values))
        assert np.max(np.abs(values.mean((0, 1)) - expected) / error) < 5.0


def _attrs(data) -> dict:
    return data.sample_stats.attrs


def test_a_run_without_options_stops_when_it_is_enough(gaussian, seed):
    """ESS at least 400 on draws that ArviZ judges afresh, R̂ within its limit, all before the draw limit. Catches: a
    target judged on the first block, a fixed number of draws."""
    target, mean, covariance = gaussian
    data = mc.sample(target, seed=seed, progress=False)
    rows = mc.summary(data)
    assert _attrs(data)["status"] == "target ESS reached"
    assert min(min(row.ess_bulk, row.ess_tail) for row in rows) >= 400
    assert data.posterior.sizes["draw"] < 1000
    assert mc.is_trustworthy(data, rows)
    assert mc.doubts(data, rows) == []
    _assert_moments(data, mean, covariance)


def test_limits_end_a_run_and_say_so(gaussian, seed):
    """Catches: a limit that is ignored or counted wrongly, a silent end, exit without draws."""
    target, _, _ = gaussian
    fit = mc.fit(target, seed=seed, progress=False)
    short = mc.sample(target, fit=fit, seed=seed, max_draws=30, progress=False)
    assert _attrs(short)["status"] == "draw limit reached before the target ESS"
    assert short.posterior.sizes["draw"] == 30
    cheap = mc.sample(target, fit=fit, seed=seed, target_ess=1e5, max_gradients=3000, progress=False)
    assert _attrs(cheap)["status"] == "gradient limit reached before the target ESS"
    assert _attrs(cheap)["gradients_sampling"] < 6000
    quick = mc.sample(target, fit=fit, seed=seed, target_ess=1e7, max_time=0.2, progress=False)
    assert _attrs(quick)["status"] == "time limit reached before the target ESS"
    for data in (short, cheap, quick):
        assert not mc.is_trustworthy(data, mc.summary(data))
        assert "monochord.extend" in json.loads(_attrs(data)["advice"])[0]


def test_a_fixed_number_of_draws_is_fixed(gaussian, seed):
    target, _, _ = gaussian
    data = mc.sample(target, seed=seed, draws=37, kernel="nuts", progress=False)
    assert data.posterior.sizes["draw"] == 37
    assert _attrs(data)["status"] == "finished"
    with pytest.raises(mc.OptionError, match="Pass one of them"):
        mc.sample(target, seed=seed, draws=37, max_draws=50)


@pytest.mark.parametrize("from_file", [False, True])
def test_extending_equals_one_longer_run_bit_for_bit(from_file, gaussian, seed, tmp_path):
    """Also through a netCDF file. Catches: keys that start over, a metric rounded on the way, a lost last position."""
    target, _, _ = gaussian
    whole = mc.sample(target, seed=seed, draws=120, progress=False)
    part = mc.sample(target, seed=seed, draws=50, progress=False)
    model = None
    if from_file:
        import xarray

        mc.write_netcdf(part, tmp_path / "part.nc")
        part = xarray.open_datatree(tmp_path / "part.nc", engine="h5netcdf")
        with pytest.raises(mc.OptionError, match="Pass the same model"):
            mc.extend(part, draws=70)
        model = target
    joined = mc.extend(part, model, draws=70, progress=False)
    np.testing.assert_array_equal(joined.posterior["x"].values, whole.posterior["x"].values)
    np.testing.assert_array_equal(joined.sample_stats["energy"].values, whole.sample_stats["energy"].values)
    for name in ("gradients_fit", "gradients_warmup", "gradients_sampling"):
        assert _attrs(joined)[name] == _attrs(whole)[name]


def test_extending_takes_the_model_with_its_data(seed):
    """Catches: the result's own parameter name in the way of `data=`."""

    def log_density(params, scale):
        return -0.5 * ((params["x"] / scale) ** 2).sum()

    options = {"init": {"x": np.zeros(3)}, "data": {"scale": np.array([0.1, 2.0, 30.0])}}
    part = mc.sample(log_density, seed=seed, draws=20, progress=False, **options)
    joined = mc.extend(part, log_density, draws=5, progress=False, **options)
    assert joined.posterior.sizes["draw"] == 25


def test_extending_until_enough_counts_what_is_there(gaussian, seed):
    target, _, _ = gaussian
    part = mc.sample(target, seed=seed, draws=90, progress=False)
    joined = mc.extend(part, target_ess=500, progress=False)
    assert _attrs(joined)["status"] == "target ESS reached"
    assert 90 < joined.posterior.sizes["draw"] < 600
    again = mc.extend(joined, draws=5, progress=False)
    assert again.posterior.sizes["draw"] == joined.posterior.sizes["draw"] + 5


def test_extending_another_model_is_refused(gaussian, seed):
    target, _, _ = gaussian
    part = mc.sample(target, seed=seed, draws=20, progress=False)
    with pytest.raises(mc.OptionError, match="the model it began with"):
        mc.extend(part, funnel_target(DIM), draws=5)
    for path in ("run.nc", Path("run.nc")):
        with pytest.raises(mc.OptionError, match="the path .run.nc.*open_datatree"):
            mc.extend(path, target, draws=5)
    del part["sampler_state"]
    with pytest.raises(mc.OptionError, match="no group `sampler_state`"):
        mc.extend(part, target, draws=5)


def test_a_fit_of_other_data_is_measured_and_dropped(gaussian, seed):
    """The same model with data 40 times as narrow and elsewhere: what the fit recorded is not true here. Catches: a
    verdict believed across data sets."""
    target, mean, covariance = gaussian
    other = with_data(
        target, {"mean": mean + 3.0, "inverse_factor": 40.0 * np.asarray(target.traced_data["inverse_factor"])}
    )
    fit = mc.fit(target, seed=seed, progress=False)
    data = mc.sample(other, fit=fit, seed=seed, progress=False)
    assert "it is not used" in _attrs(data)["fit_note"]
    assert _attrs(data)["verdict"] == "trust"
    _assert_moments(data, mean + 3.0, covariance / 1600.0)
    own = mc.sample(target, fit=fit, seed=seed, draws=20, progress=False)
    assert _attrs(own)["fit_note"] == ""


def test_a_gaussian_by_hand_is_measured(gaussian, seed):
    """Catches: a Gaussian believed unseen; a good one thrown away."""
    target, mean, covariance = gaussian
    right = mc.Gaussian(mean, DenseMetric.from_covariance(covariance))
    assert _attrs(mc.sample(target, fit=right, seed=seed, draws=20, progress=False))["fit_verdict"] == "trust"
    wrong = mc.Gaussian(mean, mc.identity_metric(DIM))
    attrs = _attrs(mc.sample(target, fit=wrong, seed=seed, draws=20, progress=False))
    assert "a fit was made instead" in attrs["fit_note"]
    assert attrs["fit_verdict"] == "trust"


def test_a_verdict_that_its_own_evidence_denies_is_not_believed(gaussian, seed):
    """A measured residual far above any limit beside the word "start only". Catches: the word taken for the evidence."""
    target, mean, _ = gaussian
    measured = mc.fit(target, algorithm=mc.Given(mc.Gaussian(mean, mc.identity_metric(DIM))), seed=seed, progress=False)
    assert measured.verdict == "do not use"
    forged = dataclasses.replace(measured, judgement=dataclasses.replace(measured.judgement, name="start only"))
    attrs = _attrs(mc.sample(target, fit=forged, seed=seed, draws=20, progress=False))
    assert "its own evidence says" in attrs["fit_note"]


@pytest.mark.parametrize("claims", ["trust", "start only"])
def test_a_scale_that_collapsed_does_not_ruin_a_run(claims, gaussian, seed):
    """One scale 10⁴ too small in the Gaussian, the good fit's evidence beside it. Moments must be right all the same."""
    target, mean, covariance = gaussian
    good = mc.fit(target, seed=seed, progress=False)
    shrink = np.array([1.0, 1.0, 1e-4, 1.0, 1.0])
    bad = DenseMetric.from_covariance(good.gaussian.metric.dense() * np.outer(shrink, shrink))
    fit = dataclasses.replace(
        good, gaussian=mc.Gaussian(good.gaussian.mean, bad), judgement=dataclasses.replace(good.judgement, name=claims)
    )
    data = mc.sample(target, fit=fit, seed=seed, draws=400, progress=False)
    _assert_moments(data, mean, covariance)


def test_a_run_without_a_fit_learns_its_metric(gaussian, seed):
    """Catches: an identity start that stays one; a fit made although none was wanted."""
    target, mean, covariance = gaussian
    data = mc.sample(target, fit=False, seed=seed, progress=False)
    assert _attrs(data)["verdict"] == "no fit"
    assert _attrs(data)["gradients_fit"] == 0
    assert _attrs(data)["metric_refinements"] > 0
    assert float(data.sample_stats["n_steps"].mean()) < 12
    _assert_moments(data, mean, covariance)


def test_a_funnel_is_refused_sampled_with_nuts_and_advised_on(seed):
    """Catches: jittered HMC on a funnel, a status that sounds like success, advice for another cause."""
    target = funnel_target(6)
    fit = mc.fit(target, seed=seed, maps=False, progress=False)
    data = mc.sample(target, fit=fit, seed=seed, max_gradients=30_000, progress=False)
    attrs = _attrs(data)
    assert attrs["verdict"] == "do not use"
    assert attrs["kernel"] == "nuts"
    if attrs["status"] != "target ESS reached":
        assert "non-centred" in " ".join(json.loads(attrs["advice"]))


def test_the_run_s_own_draws_lower_a_verdict(seed):
    """A funnel whose fit was made to say "trust", evidence and all: draws and scores of the run say otherwise. Catches: the
    fit's own word repeated in the result, jittered HMC where the first look has refused the fit."""
    target = funnel_target(6)
    fit = mc.fit(target, seed=seed, maps=False, progress=False)
    forged = dataclasses.replace(
        fit,
        judgement=dataclasses.replace(fit.judgement, name="trust"),
        score_residual=mc.Estimate(0.02, 0.002, 64),
        worst_coordinate=("v", mc.Estimate(0.05, 0.01, 128)),
        pareto_k=mc.Estimate(0.1, 0.2, 128),
    )
    attrs = _attrs(mc.sample(target, fit=forged, seed=seed, draws=200, progress=False))
    assert attrs["fit_verdict"] == "trust"
    assert attrs["verdict"] != "trust"
    assert "The run's own draws disagree" in json.loads(attrs["reasons"])[0]
    assert attrs["kernel"] == "nuts"
