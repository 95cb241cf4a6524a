"""The output file: refused before any work, written whole or not at all, and never at the cost of an older one."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import xarray

OLD = b"an earlier result"


@pytest.fixture
def no_work(monkeypatch):
    """Fails the test if the model file is so much as opened."""

    def load(*_):
        raise AssertionError("the model was loaded before the output path was checked")

    monkeypatch.setattr("monochord.cli._common.load_target", load)


@pytest.fixture
def old(tmp_path):
    """A folder with an earlier result in it."""
    path = tmp_path / "old.nc"
    path.write_bytes(OLD)
    return path


def disk_full(monkeypatch, within: Path):
    """Make every write inside a folder fail when it is synced, as a full disk may."""
    sync = os.fsync

    def fails(descriptor):
        if within in Path(os.readlink(f"/proc/self/fd/{descriptor}")).parents:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fails)


def test_existing_file_is_refused_before_any_work(sample, refused, no_work, old):
    refused(sample("gaussian.py", "-o", old), "exists", "--force")
    assert old.read_bytes() == OLD


def test_folder_is_refused_before_any_work(sample, refused, no_work, tmp_path):
    refused(sample("gaussian.py", "-o", tmp_path, "--force"), "is a folder", "Name a file in it")


def test_missing_folder_is_refused_before_any_work(sample, refused, no_work, tmp_path):
    refused(sample("gaussian.py", "-o", tmp_path / "none" / "x.nc"), "does not exist", "Create it")


def test_file_as_folder_is_refused_before_any_work(sample, refused, no_work, old):
    refused(sample("gaussian.py", "-o", old / "x.nc"), "does not exist")


@pytest.mark.parametrize("length", [256, 300])
def test_name_too_long_is_refused_before_any_work(sample, refused, no_work, tmp_path, length):
    """250 letters fit a file name, but not with what the temporary name adds."""
    refused(sample("gaussian.py", "-o", tmp_path / ("x" * (length - 3) + ".nc")), "name")


def test_pipe_is_refused_before_any_work(sample, refused, no_work, tmp_path):
    """Catches: `-o /dev/null --force` as root, which replaced the device by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(sample("gaussian.py", "-o", pipe, "--force"), "regular file")
    assert pipe.is_fifo()


@contextlib.contextmanager
def as_nobody():
    """Without root's right to write anywhere; changes nothing for other users."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_folder_without_permission_is_refused_before_any_work(sample, refused, no_work, mode):
    sample("nothing_defined.py")  # modules are imported while they can still be read
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, mode)
        with as_nobody():
            result = sample("gaussian.py", "-o", Path(name) / "x.nc")
        os.chmod(name, 0o755)
    refused(result, "not writable" if mode else name, "name another")


def test_good_run_is_written_and_readable(sample, tmp_path):
    """Any suffix will do, and nothing else is left in the folder."""
    path = tmp_path / "größe 1.result"
    result = sample("gaussian.py", "-o", path)
    assert result.exit_code in (0, 3), result.stderr
    assert f"written to {path}" in result.stdout
    assert list(tmp_path.iterdir()) == [path]
    tree = xarray.open_datatree(path, engine="h5netcdf")
    assert tree["posterior"]["x"].shape == (2, 30, 3)
    assert tree["sample_stats"].attrs["seed"] == 1


def test_force_replaces(sample, old):
    result = sample("gaussian.py", "-o", old, "--force")
    assert result.exit_code in (0, 3), result.stderr
    assert old.read_bytes() != OLD


def test_force_writes_through_a_link(sample, old, tmp_path):
    link = tmp_path / "link.nc"
    link.symlink_to(old)
    result = sample("gaussian.py", "-o", link, "--force")
    assert result.exit_code in (0, 3), result.stderr
    assert link.is_symlink()
    assert old.read_bytes() != OLD


def test_disk_full_leaves_the_old_file_and_saves_the_result_elsewhere(
    sample, refused, old, monkeypatch, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    disk_full(monkeypatch, old.parent)
    refused(sample("gaussian.py", "-o", old, "--force"), "No space left on device", "Free space", str(elsewhere))
    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]
    (saved,) = elsewhere.rglob("*.nc")
    assert xarray.open_datatree(saved, engine="h5netcdf")["posterior"].sizes["draw"] == 30


def test_every_disk_full_leaves_the_old_file(sample, old, monkeypatch):
    elsewhere = old.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    disk_full(monkeypatch, old.parent)
    result = sample("gaussian.py", "-o", old, "--force", "--json")
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 1
    record = json.loads(result.stdout)
    assert record["exit_code"] == 2
    assert "No space left on device" in record["error"]
    assert "Free space" in record["error"]
    assert old.read_bytes() == OLD
    assert [path for path in old.parent.rglob("*") if path.is_file()] == [old]


def test_really_full_disk_leaves_the_old_file(models, compile_cache, tmp_path):
    """In a program of its own: HDF5 may end the whole interpreter when its file system is full."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("test_really_full_disk_leaves_the_old_file: needs the right to mount a tmpfs (run as root)")
    try:
        old = disk / "old.nc"
        old.write_bytes(OLD)
        command = [sys.executable, "-m", "monochord", "sample", str(models / "gaussian.py"), "-o", str(old), "--force"]
        options = ["--chains", "2", "--draws", "30", "--seed", "1", "--no-progress"]
        environment = {**os.environ, "TMPDIR": str(elsewhere)}
        done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
        assert done.returncode == 2, f"{done.returncode}: {done.stderr}"
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("error: ") == 1
        assert "No space left on device" in done.stderr
        assert str(elsewhere) in done.stderr
        assert "Traceback" not in done.stderr
        assert old.read_bytes() == OLD
        assert list(disk.iterdir()) == [old]
        (saved,) = elsewhere.rglob("*.nc")
        assert xarray.open_datatree(saved, engine="h5netcdf")["posterior"].sizes["draw"] == 30
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
