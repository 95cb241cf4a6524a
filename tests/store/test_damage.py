"""A store that is not what was committed is detected, and nothing of it is used."""

import json
import shutil

import numpy as np
import pytest

import monochord as mc
from monochord.store._ledger import Ledger

FIXED = {"draws": 130, "block": 40, "chains": 2}


@pytest.fixture(scope="module")
def stored(target, tmp_path_factory):
    """A finished run, and the same with little kept."""
    folder = tmp_path_factory.mktemp("stored")
    mc.sample(target, seed=2, store=folder / "run.zarr", progress=False, **FIXED)
    mc.sample(target, seed=2, store=folder / "thin.zarr", keep="total", thin=2, progress=False, **FIXED)
    return folder


@pytest.fixture
def path(stored, tmp_path):
    """A copy that may be spoilt."""
    shutil.copytree(stored / "run.zarr", tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def _flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _remove(path) -> None:
    path.unlink()


def _everything(path):
    return mc.open_store(path).to_dict() and [
        variable.values for group in mc.open_store(path).children.values() for variable in group.data_vars.values()
    ]


SPOILT = (
    "posterior/x/c/0/1/0", "sample_stats/lp/c/0/0", "unconstrained_posterior/x/c/0/3/0", "observed_data/scale/c/0",
    "posterior/x/zarr.json", ".monochord/records/000002.json",
)  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("spoil", [_flip, _truncate, _remove])
def test_a_spoilt_file_is_detected(name, spoil, path):
    """A flipped bit, a cut end, a missing file, in draws, data, descriptions and records. Catches: Zarr's fill values in place
    of a missing chunk."""
    assert len(_everything(path)) > 10
    spoil(path / name)
    with pytest.raises(mc.DataError, match="damaged"):
        _everything(path)


def test_records_must_follow_each_other(path, stored):
    """A record of another run, and one that was altered with its own hash made right again."""
    records = path / ".monochord" / "records"
    shutil.copy(stored / "thin.zarr" / ".monochord" / "records" / "000003.json", records)
    with pytest.raises(mc.DataError, match="does not follow"):
        mc.open_store(path)
    for record in sorted(records.iterdir())[3:]:
        record.unlink()
    with pytest.raises(mc.OptionError, match="no draws yet"):
        mc.open_store(path)
    for record in records.iterdir():
        record.unlink()
    with pytest.raises(mc.DataError, match="no commit record"):
        mc.open_store(path)


def test_the_snapshot_a_run_goes_on_from_is_checked(target, path):
    """Catches: chains that go on from altered positions."""
    ledger = Ledger(path)
    ledger.withdraw_last()
    _flip(path / ledger.records[-1]["snapshot"]["name"])
    with pytest.raises(mc.DataError, match=r"snapshots/.*-block\.npz` is truncated or altered"):
        mc.resume(path, target, progress=False)


def test_draws_that_looks_need_are_checked(target, path, stored, tmp_path):
    """A run that goes on reads old draws to judge its ESS. Catches: old draws that are used unchecked."""
    for source, victim in (
        (path, "unconstrained_posterior/x/c/0/0/0"),
        (shutil.copytree(stored / "thin.zarr", tmp_path / "thin.zarr"), ".monochord/held/000000000000.npz"),
    ):
        Ledger(source).withdraw_last()
        _flip(source / victim)
        with pytest.raises(mc.DataError, match="truncated or altered"):
            mc.resume(source, target, progress=False)


def test_another_format_is_refused(path, target):
    first = path / ".monochord" / "records" / "000000.json"
    from monochord.store._ledger import _canonical, digest

    content = json.loads(first.read_bytes())["content"]
    content["run"]["format"] = 99
    for record in first.parent.iterdir():
        record.unlink()
    first.write_text(json.dumps({"sha256": digest(_canonical(content)), "content": content}))
    for use in (mc.open_store, lambda store: mc.resume(store, target)):
        with pytest.raises(mc.DataError, match="format 99, this version of Monochord reads 1"):
            use(path)


def test_what_is_kept_is_checked_before_any_work(target, tmp_path):
    for options, message in (
        ({"keep": "totl"}, "matches none of"),
        ({"keep": []}, "no list of names"),
        ({"thin": 0}, "`thin=0` is out of range"),
        ({"block": 0}, "`block=0` is out of range"),
        ({"chain_method": "gpu"}, "`chain_method='gpu'` is not known"),
    ):
        with pytest.raises(mc.OptionError, match=message):
            mc.sample(target, seed=1, store=tmp_path / "run.zarr", **options)
        assert not (tmp_path / "run.zarr" / "posterior").exists()
    with pytest.raises(mc.OptionError, match="there is no `store`"):
        mc.sample(target, seed=1, thin=2)


def test_others_read_the_arrays_too(path):
    """Plain xarray sees the same draws, with the run's attributes. Catches: lengths beyond the draws."""
    import xarray

    plain = xarray.open_zarr(path, group="posterior", consolidated=False, chunks=None)
    np.testing.assert_array_equal(plain["total"].values, mc.open_store(path).posterior["total"].values)
    assert plain.sizes["draw"] == 130
    stats = xarray.open_zarr(path, group="sample_stats", consolidated=False, chunks=None)
    assert stats.attrs["status"] == "finished"
