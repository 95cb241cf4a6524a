"""A run that ends at any commit goes on to the end of one that did not, bit for bit; real processes too."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import monochord as mc
from monochord.sampling import _kept
from monochord.store._ledger import Ledger
from tests.store.crashes import Killed, assert_same, make_target

MODELS = Path(__file__).resolve().parents[1] / "models"
PATIENCE = 240  # seconds until a hanging test is given up
FIXED = {"draws": 170, "block": 40, "chains": 3}


@pytest.fixture(scope="module")
def whole(target, tmp_path_factory):
    """The run that nothing interrupts."""
    return mc.sample(target, seed=5, store=tmp_path_factory.mktemp("whole") / "run.zarr", progress=False, **FIXED)


def test_a_stored_run_has_the_draws_of_one_in_memory(target, whole):
    """Positions, statistics and reported quantities; all attributes but clocks. Catches: keys that depend on blocks, rows out
    of place, another output."""
    plain = mc.sample(target, seed=5, draws=170, chains=3, progress=False)
    for group in ("posterior", "sample_stats", "unconstrained_posterior", "observed_data"):
        assert set(plain[group].data_vars) == set(whole[group].data_vars)
        for name in plain[group].data_vars:
            one, other = plain[group][name], whole[group][name]
            assert one.dims == other.dims
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one.values, other.values)
            for axis in one.dims:
                np.testing.assert_array_equal(one[axis].values, other[axis].values)
    ours = {name for name in plain.sample_stats.attrs if not name.startswith("creat")}  # the rest is ArviZ's
    assert ours <= set(whole.sample_stats.attrs)
    assert whole.sample_stats.attrs["status"] == "finished"
    assert mc.doubts(plain, mc.summary(plain)) == mc.doubts(whole, mc.summary(whole))


@pytest.mark.usefixtures("every_step_is_committed")
@pytest.mark.parametrize("before", [False, True])
def test_an_end_at_any_commit_changes_nothing(before, target, whole, killed_at, tmp_path):
    """In the fit, in warm-up, between blocks, at the very end; before a record is written and just after. Catches: a stage
    that is begun anew with other keys, draws that are counted twice, sums that are not restored."""
    everything = tmp_path / "all.zarr"
    mc.sample(target, seed=5, store=everything, progress=False, **FIXED)
    records = Ledger(everything).records
    kinds = [record["kind"] for record in records]
    assert {"fit", "fitted", "journal", "layout", "block", "end"} <= set(kinds)
    first = {kind: kinds.index(kind) for kind in kinds}
    numbers = {
        first["fitted"] // 2,
        first["fitted"],
        first["layout"] - 3,
        first["layout"],
        *range(first["block"], len(kinds)),
    }
    numbers -= {0} if before else set()
    for number in sorted(numbers):
        path = tmp_path / f"{number}.zarr"
        disarm = killed_at(number, before)
        with pytest.raises(Killed):
            mc.sample(target, seed=5, store=path, progress=False, **FIXED)
        disarm()
        assert len(Ledger(path).records) == number + (not before)
        assert_same(mc.resume(path, target, progress=False), whole)


@pytest.mark.usefixtures("every_step_is_committed")
def test_a_run_may_end_many_times(target, whole, killed_at, tmp_path):
    """Every process comes a few records further (three, where it makes any). Catches: a resumed run that cannot be resumed."""
    path, number = tmp_path / "run.zarr", 0
    ends = 0
    while True:
        number = (len(Ledger(path).records) if path.exists() else 0) + 3
        disarm = killed_at(number)
        try:
            again = (
                mc.resume(path, target, progress=False)
                if path.exists()
                else mc.sample(target, seed=5, store=path, progress=False, **FIXED)
            )
            break
        except Killed:
            ends += 1
        finally:
            disarm()
    assert ends >= 4
    assert_same(again, whole)


@pytest.mark.usefixtures("every_step_is_committed")
def test_thinned_and_chosen_draws_go_on_too(target, killed_at, tmp_path):
    """Stopping is judged on every draw of every coordinate, so its history must survive though little is stored."""
    options = {"keep": ["tot*"], "thin": 3, "block": 45, "chains": 2, "target_ess": 200}
    one = mc.sample(target, seed=6, store=tmp_path / "one.zarr", progress=False, **options)
    plain = mc.sample(target, seed=6, chains=2, target_ess=200, progress=False)
    count = plain.posterior.sizes["draw"]
    np.testing.assert_array_equal(one.posterior["total"].values, plain.posterior["total"].values[:, ::3])
    np.testing.assert_array_equal(one.sample_stats["lp"].values, plain.sample_stats["lp"].values[:, ::3])
    assert list(one.posterior.data_vars) == ["total"]
    assert "unconstrained_posterior" not in one.children
    assert one.sample_stats.attrs["gradients_sampling"] == plain.sample_stats.attrs["gradients_sampling"]
    blocks = [record["number"] for record in Ledger(tmp_path / "one.zarr").records if record["kind"] == "block"]
    assert len(blocks) >= 2
    assert count > 200
    disarm = killed_at(blocks[-1])
    with pytest.raises(Killed):
        mc.sample(target, seed=6, store=tmp_path / "two.zarr", progress=False, **options)
    disarm()
    assert_same(mc.resume(tmp_path / "two.zarr", target, progress=False), one)
    with pytest.raises(mc.OptionError, match="holds no group"):
        mc.extend(one, target)


@pytest.mark.usefixtures("every_step_is_committed")
def test_first_stretches_that_are_given_up_are_repeated(target, monkeypatch, killed_at, tmp_path):
    """With a limit that every chain fails the run goes back to warm-up twice: ends before, between and after. Catches: draws
    that were given up in the store, a stretch that is judged twice."""
    monkeypatch.setattr(_kept, "STUCK", 2.0)
    options = {"seed": 1, "draws": 130, "block": 50, "chains": 2, "kernel": "hmc", "progress": False}
    whole = mc.sample(target, store=tmp_path / "whole.zarr", **options)
    assert whole.sample_stats.attrs["warmup_restarts"] == 2
    kinds = [record["kind"] for record in Ledger(tmp_path / "whole.zarr").records]
    journal = [number for number, kind in enumerate(kinds) if kind == "journal"]
    for number in (journal[len(journal) // 2], journal[-3], kinds.index("block")):
        path = tmp_path / f"{number}.zarr"
        disarm = killed_at(number)
        with pytest.raises(Killed):
            mc.sample(target, store=path, **options)
        disarm()
        assert_same(mc.resume(path, target, progress=False), whole)


def test_ctrl_c_and_time_limits_go_on(target, whole, tmp_path):
    """The draws so far are there at once; going on leads to the same end. Catches: an interrupted run taken for a finished
    one, a last part of a block that stays when the block is full."""

    def interrupt(info):
        if getattr(info, "stage", "") == "sampling" and info.draws >= 130:
            raise KeyboardInterrupt

    path = tmp_path / "run.zarr"
    part = mc.sample(target, seed=5, store=path, progress=interrupt, **FIXED)
    count = part.posterior.sizes["draw"]
    assert 130 <= count < 170
    assert count % 40
    assert part.sample_stats.attrs["status"] == "interrupted"
    np.testing.assert_array_equal(part.posterior["total"].values, whole.posterior["total"].values[:, :count])
    assert_same(mc.resume(path, target, progress=False), whole)
    assert_same(mc.resume(path, target, progress=False), whole)  # a run that has ended comes back as it is

    slow = mc.sample(
        target, seed=5, store=tmp_path / "slow.zarr", max_time=1e-3, target_ess=1e6, chains=3, progress=False
    )
    assert slow.sample_stats.attrs["status"].startswith("time limit reached")


def test_options_are_part_of_the_run(target, tmp_path, killed_at):
    """A metric, starts, a Gaussian and a stopping rule that were stated hold after resuming. Catches: options that are
    forgotten."""
    metric = mc.DiagonalMetric(np.array([0.25, 0.04, 2.5, 17.0]))
    fit = mc.Gaussian(np.array([0.0, 1.5, 1.5, 1.5]), mc.DenseMetric.from_covariance(np.diag([0.08, 0.08, 9.0, 400.0])))
    options = {
        "seed": 7, "chains": 2, "metric": metric, "fit": fit, "initial": [[0.1, 1.4, 2.0, 3.0], [0.2, 1.6, 1.0, -3.0]],
        "kernel": "hmc", "draws": 110, "block": 30, "target_accept": 0.7, "max_gradients": 1e6,
    }  # fmt: skip
    whole = mc.sample(target, store=tmp_path / "whole.zarr", progress=False, **options)
    disarm = killed_at(1)
    with pytest.raises(Killed):
        mc.sample(target, store=tmp_path / "run.zarr", progress=False, **options)
    disarm()
    assert_same(mc.resume(tmp_path / "run.zarr", target, progress=False), whole)
    assert whole.sample_stats.attrs["metric"] == "DiagonalMetric"


def _command(*arguments) -> list[str]:
    return [sys.executable, "-m", "monochord", *map(str, arguments)]


def _run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)


RUN = ("--seed", 3, "--chains", 2, "--draws", 130, "--block", 10, "--no-progress")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of the real program to its end, its seconds, and a compile cache for the others."""
    folder = tmp_path_factory.mktemp("real")
    os.environ["MONOCHORD_COMPILE_CACHE"] = str(folder / "compiled")
    done = _run("sample", MODELS / "slow.py", *RUN, "--store", folder / "whole.zarr")
    assert done.returncode in (0, 3), done.stderr
    started = time.monotonic()  # with everything compiled
    _run("sample", MODELS / "slow.py", *RUN, "--store", folder / "again.zarr")
    seconds = time.monotonic() - started
    assert_same(mc.open_store(folder / "again.zarr"), mc.open_store(folder / "whole.zarr"))
    yield mc.open_store(folder / "whole.zarr"), seconds
    del os.environ["MONOCHORD_COMPILE_CACHE"]


@pytest.mark.parametrize(
    "moment",
    [0.35, 0.55, 0.75, 0.9, *(pytest.param(None, marks=pytest.mark.nightly, id=f"random {i}") for i in range(16))],
)
def test_a_killed_process_goes_on(moment, uninterrupted, tmp_path, request):
    """SIGKILL at some moment of the run's time (jittered by a tenth; nightly at sixteen more, anywhere), then
    `monochord resume`."""
    whole, seconds = uninterrupted
    rng = np.random.default_rng(np.frombuffer(request.node.name.encode(), np.uint8).tolist() + [time.time_ns() % 2**32])
    moment = rng.uniform(0.1, 1.0) if moment is None else moment + rng.uniform(-0.1, 0.1)
    path = tmp_path / "run.zarr"
    process = subprocess.Popen(
        _command("sample", MODELS / "slow.py", *RUN, "--store", path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while not (path / ".monochord" / "records" / "000000.json").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(max(0.0, moment - 0.3) * seconds)  # a third or so goes into importing
    process.send_signal(signal.SIGKILL)
    process.wait()
    records = [record["kind"] for record in Ledger(path).records]
    if request.node.callspec.id != "0.55":  # the others go on in this process, which spares them imports
        from monochord.cli._model_file import load_target

        mc.resume(path, load_target(MODELS / "slow.py", None), progress=False)
    else:
        done = _run("resume", path, "--json", "--no-progress")
        assert done.returncode in (0, 3), f"killed after {records}:\n{done.stderr}"
        assert json.loads(done.stdout)["status"] == "finished"
    assert_same(mc.open_store(path), whole)


def test_a_process_killed_in_a_write_leaves_nothing_behind(target, whole, tmp_path, killed_at):
    """What was written without a record is removed, and its place taken by what is drawn again. Catches: a chunk of a killed
    process that is taken for committed, parts of files that pile up."""
    path = tmp_path / "run.zarr"
    disarm = killed_at(4)
    with pytest.raises(Killed):
        mc.sample(target, seed=5, store=path, progress=False, **FIXED)
    disarm()
    (path / "posterior").mkdir(exist_ok=True)
    (path / "posterior" / ".zarr.json.1.part").write_bytes(b"{")
    (path / "sample_stats" / "lp" / "c" / "0").mkdir(parents=True, exist_ok=True)
    (path / "sample_stats" / "lp" / "c" / "0" / "4").write_bytes(b"noise")
    assert_same(mc.resume(path, target, progress=False), whole)
    assert not list(path.rglob("*.part"))


def test_two_writers_are_refused(target, tmp_path):
    """While a run is under way its store opens for reading with the committed draws, and not for writing."""
    path, seen = tmp_path / "run.zarr", []

    def look(info):
        if getattr(info, "stage", "") == "sampling" and info.draws >= 130 and not seen:
            now = mc.open_store(path)
            seen.append((now.posterior.sizes["draw"], now.sample_stats.attrs["status"], now.posterior["total"].values))
            with pytest.raises(mc.OutputError, match="another process"):
                mc.resume(path, target, progress=False)

    done = mc.sample(target, seed=5, store=path, progress=look, **FIXED)
    count, status, values = seen[0]
    assert count == 120
    assert status == "under way"
    np.testing.assert_array_equal(values, done.posterior["total"].values[:, :120])
    with pytest.raises(mc.OutputError, match=re.escape("monochord.resume")):
        mc.sample(target, seed=5, store=path)


def test_another_model_is_refused(target, tmp_path, killed_at):
    path = tmp_path / "run.zarr"
    disarm = killed_at(3)
    with pytest.raises(Killed):
        mc.sample(target, seed=5, store=path, progress=False, **FIXED)
    disarm()
    with pytest.raises(mc.OptionError, match="with: `scale` has changed.*begin a new run"):
        mc.resume(path, make_target((0.05, 3.0, 21.0)))
    other = mc.target(lambda p, scale: -0.5 * (p["x"] ** 2).sum() - p["shift"] ** 2, init={"x": np.zeros(3), "shift": 0.0},
                      data={"scale": np.array([0.05, 3.0, 20.0])})  # fmt: skip
    with pytest.raises(mc.OptionError, match="the log density"):
        mc.resume(path, other)
    with pytest.raises(mc.OptionError, match="is not a store"):
        mc.resume(tmp_path, target)
