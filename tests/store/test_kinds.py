"""Runs along a map, of functions outside JAX, and with labelled axes: stored, ended and resumed like any other."""

import numpy as np
import pytest

import monochord as mc
from monochord.store import fingerprint
from monochord.testing import funnel_target
from tests.store.crashes import Killed, assert_same

OPTIONS = {"seed": 2, "chains": 2, "draws": 60, "kernel": "hmc", "progress": False}
SCALE = np.array([0.3, 2.0, 11.0])


def _killed(target, path, killed_at, number, **options):
    restore = killed_at(number)
    with pytest.raises(Killed):
        mc.sample(target, store=path, **OPTIONS, **options)
    restore()


def _host_funnel():
    def value(params):
        return -(params["v"] ** 2) / 18.0 - 0.5 * np.exp(-params["v"]) * np.sum(params["x"] ** 2) - params["v"]

    def gradient(params):
        weight = np.exp(-params["v"])
        return {"v": -params["v"] / 9.0 + 0.5 * weight * np.sum(params["x"] ** 2) - 1.0, "x": -weight * params["x"]}

    return mc.target((value, gradient), init={"v": 0.0, "x": np.zeros(2)})


@pytest.mark.parametrize("made", [lambda: funnel_target(3), _host_funnel], ids=["jax", "host"])
def test_a_run_along_a_map_goes_on(made, killed_at, tmp_path):
    """Chains run in the map's coordinates, the store holds the model's. Catches: draws in the wrong coordinates, looks at
    draws that were mapped there and back, a map that the store forgets, ways of fit and warm-up that are lost."""
    target = made()
    fit = mc.fit(target, seed=0)
    assert fit.map is not None
    plain = mc.sample(target, fit=fit, **OPTIONS)
    whole = mc.sample(target, fit=fit, store=tmp_path / "whole.zarr", block=20, **OPTIONS)
    for group in ("unconstrained_posterior", "sampler_state", "fit_trace", "warmup_trace"):
        assert set(plain[group].data_vars) == set(whole[group].data_vars)
        for name in plain[group].data_vars:
            if plain[group].sizes.get("draw"):
                np.testing.assert_array_equal(plain[group][name].values, whole[group][name].values)
    number = len(list((tmp_path / "whole.zarr" / ".monochord" / "records").iterdir())) - 3
    _killed(target, tmp_path / "run.zarr", killed_at, number, fit=fit, block=20)
    resumed = mc.resume(tmp_path / "run.zarr", target, progress=False)
    assert_same(resumed, whole)
    more, from_file = mc.extend(resumed, draws=20), mc.extend(mc.open_store(tmp_path / "run.zarr"), target, draws=20)
    np.testing.assert_array_equal(more.posterior["x"].values, from_file.posterior["x"].values)
    np.testing.assert_allclose(
        more.posterior["x"].values[:, :60], whole.posterior["x"].values, rtol=1e-12
    )  # mapped back


def _host(power=2.0, scale=SCALE):
    def log_density(params, scale):
        return -0.5 * np.sum(np.abs(params["x"] / scale) ** power)

    def gradient(params, scale):
        return {"x": -0.5 * power * np.sign(params["x"]) * np.abs(params["x"]) ** (power - 1) / scale**power}

    return mc.target((log_density, gradient), init={"x": np.ones(3)}, data={"scale": scale})


def test_functions_outside_jax_are_resumed_and_told_apart(killed_at, tmp_path):
    """A new target of the same functions and data goes on; other data, other code and another constant in the same code do
    not. Catches: a fingerprint of the number by which compiled programs find a model, lanes for such a target."""
    whole = mc.sample(_host(), store=tmp_path / "whole.zarr", block=20, chain_method="vectorised", **OPTIONS)
    assert whole.sample_stats.attrs["idle_lanes"] == 0
    number = len(list((tmp_path / "whole.zarr" / ".monochord" / "records").iterdir())) - 3
    _killed(_host(), tmp_path / "run.zarr", killed_at, number, block=20, chain_method="vectorised")
    for other, named in ((_host(2.2), "the log density"), (_host(scale=SCALE * 1.01), "`scale`, the log density")):
        with pytest.raises(mc.OptionError, match=named):
            mc.resume(tmp_path / "run.zarr", other, progress=False)
    assert_same(mc.resume(tmp_path / "run.zarr", _host(), progress=False), whole)


def test_another_source_of_a_host_function_counts():
    """Two functions of one value. Catches: sources that are not looked at."""

    def other(params):
        return 0.0 - 0.5 * np.sum(params["x"] ** 2)

    def one(params):
        return -0.5 * np.sum(params["x"] ** 2)

    def gradient(params):
        return {"x": -params["x"]}

    prints = [fingerprint(mc.target((f, gradient), init={"x": np.ones(2)})) for f in (one, one, other)]
    assert prints[0] == prints[1]
    assert {name for name in prints[0] if prints[0][name] != prints[2][name]} == {"the source"}


def test_labels_and_data_come_back(tmp_path):
    """Axes, places along them and data groups, as a run in memory has them. Catches: labels that the store drops."""
    groups = np.array(["a", "b", "c"], dtype=object)

    def log_density(params, scale):
        return -0.5 * ((params["x"] / scale) ** 2).sum()

    target = mc.target(
        log_density,
        init={"x": np.zeros(3)},
        data={"scale": SCALE},
        coords={"group": groups},
        dims={"x": ["group"]},
    )
    options = {**OPTIONS, "draws": 5}
    plain, stored = mc.sample(target, **options), mc.sample(target, store=tmp_path / "run.zarr", **options)
    assert stored.posterior["x"].dims == ("chain", "draw", "group")
    for group in ("posterior", "observed_data", "constant_data"):
        assert (group in plain.children) == (group in stored.children)
        if group in plain.children:
            assert set(plain[group].data_vars) == set(stored[group].data_vars)
            for name, one in plain[group].data_vars.items():
                other = stored[group][name].load()
                assert one.dims == other.dims
                np.testing.assert_array_equal(one.values, other.values)
                for axis in one.dims:
                    np.testing.assert_array_equal(one[axis].values.astype(str), other[axis].values.astype(str))


def test_what_cannot_be_extended_says_how_to_mend_it(tmp_path):
    """Catches: a path, or a part of a run, that ends in an error of Python's."""
    target = funnel_target(3)
    part = mc.sample(target, fit=False, store=tmp_path / "run.zarr", thin=2, **{**OPTIONS, "draws": 10})
    with pytest.raises(mc.OptionError, match="given `keep=` or `thin=`.*Sample anew without them"):
        mc.extend(part, target)
    with pytest.raises(mc.OptionError, match=r"run.zarr'.*`monochord.open_store\(path\)`"):
        mc.extend(tmp_path / "run.zarr", target)
    whole = mc.sample(target, fit=False, **{**OPTIONS, "draws": 10})
    del whole["unconstrained_posterior"]
    with pytest.raises(mc.OptionError, match="no group `unconstrained_posterior`"):
        mc.extend(whole)
