"""The ways of fit and warm-up, in a result, through a file, and in a run that went on."""

import math

import numpy as np
import pytest

import monochord as mc
from monochord._arviz import read_netcdf
from monochord.testing import gaussian_target
from monochord.traces import fit_trace_of, warmup_trace_of


@pytest.fixture(scope="module")
def run():
    target = gaussian_target(np.array([0.5, -2.0, 3.0]), np.diag([0.2, 3.0, 30.0]) + 0.1)
    fit = mc.fit(target, seed=0)
    return fit, mc.sample(target, fit=fit, seed=0, chains=2, draws=25)


def same(ours, theirs) -> bool:
    """Equal, NaN where NaN."""
    return all(a == b or (a != a and b != b) for a, b in zip(ours, theirs, strict=True))


def test_steps_come_back_from_a_file_as_they_were(run, tmp_path):
    fit, data = run
    mc.write_netcdf(data, tmp_path / "run.nc")
    kept = fit_trace_of(read_netcdf(tmp_path / "run.nc"))
    assert [(s.stage, s.step, s.gradients, s.best_log_density) for s in kept] == [
        (s.stage, s.step, s.gradients, s.best_log_density) for s in fit.trace
    ]
    for ours, theirs in zip(kept, fit.trace, strict=True):
        assert (ours.elbo is None) == (theirs.elbo is None or math.isnan(theirs.elbo.value))
        if ours.elbo is not None:
            assert same(ours.elbo, theirs.elbo)
            assert same(ours.residual[:2], theirs.residual[:2])


def test_warm_up_ends_with_what_the_run_has(run):
    """The last piece counts every iteration and gradient of warm-up, but those of the starts, and has the run's step."""
    _, data = run
    attributes, last = data.sample_stats.attrs, warmup_trace_of(data)[-1]
    assert last.iterations == attributes["warmup_iterations"]
    assert last.gradients <= attributes["gradients_warmup"]
    assert last.step_size == attributes["step_size"]
    assert 0 < last.acceptance <= 1


def test_a_run_that_goes_on_keeps_them(run):
    _, data = run
    longer = mc.extend(data, draws=10)
    assert warmup_trace_of(longer) == warmup_trace_of(data)
    assert len(fit_trace_of(longer)) == len(fit_trace_of(data))


def test_a_run_without_a_fit_has_none(run):
    _, data = run
    bare = data.copy()
    del bare["fit_trace"], bare["warmup_trace"]
    assert fit_trace_of(bare) == ()
    assert warmup_trace_of(bare) == ()


def test_the_call_is_kept(run):
    """What differs from the defaults, and the seed."""
    assert run[1].sample_stats.attrs["call"] == "mc.sample(model, seed=0, fit=…, chains=2, draws=25)"
