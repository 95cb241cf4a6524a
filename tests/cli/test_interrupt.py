"""Ctrl-C keeps the draws so far, writes them, says so, and exits with 130."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import xarray

from monochord.cli._guard import guarded
from monochord.progress import TerminalReporter

PATIENCE = 240  # seconds until a hanging test is given up; no test waits for time to pass


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C at the first report of a stage: a fixed place, whatever the machine's speed."""

    def at(method, stage=None):
        def report(self, info):
            if stage is None or info.stage == stage:
                raise KeyboardInterrupt

        monkeypatch.setattr(TerminalReporter, method, report)

    return at


@pytest.fixture
def noisy(run):
    """`monochord sample` with progress on, as reports are where Ctrl-C is planted."""
    return lambda *options: run("sample", "gaussian.py", "--chains", "2", "--draws", "90", "--seed", "1", *options)


def test_draws_so_far_are_kept(noisy, interrupt, tmp_path):
    interrupt("sampling", "sampling")
    path = tmp_path / "out.nc"
    result = noisy("-o", path)
    assert result.exit_code == 130, result.stderr
    posterior = xarray.open_datatree(path, engine="h5netcdf")["posterior"]
    count = posterior.sizes["draw"]
    assert 0 < count < 90
    assert f"the {count} draws of each chain made so far were kept" in result.stderr
    assert f"written to {path}" in result.stdout
    assert "posterior" in result.stdout
    assert "Traceback" not in result.stderr


def test_interrupted_run_in_json(noisy, interrupt, tmp_path):
    interrupt("sampling", "sampling")
    result = noisy("--json", "-o", tmp_path / "out.nc")
    assert result.exit_code == 130
    record = json.loads(result.stdout)
    assert record["status"] == "interrupted"
    assert record["output"] == str(tmp_path / "out.nc")


def test_interrupt_of_the_fit_says_so_in_one_line(noisy, interrupt, tmp_path):
    interrupt("fit_step")
    path = tmp_path / "out.nc"
    result = noisy("-o", path)
    assert result.exit_code == 130
    assert result.stderr.strip() == "Interrupted before any draw was kept."
    assert list(tmp_path.iterdir()) == []


def test_interrupt_of_the_fit_in_json(noisy, interrupt):
    interrupt("fit_step")
    result = noisy("--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["exit_code"] == 130


# a runner in the background of a shell ignores SIGINT, and its children inherit that
LISTENING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "monochord", *sys.argv[1:]])
"""


def start(models, *options):
    """The real program on a slow model, with standard error on a terminal of its own."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", LISTENING, "sample", str(models / "slow.py"), "--seed", "1", "--chains", "2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower, env=environment
    )
    os.close(follower)
    return process, leader


def read_until(leader, pattern: str, seen: str = "") -> str:
    """What the terminal shows, until it matches; the pattern that never comes fails the test."""
    end = time.monotonic() + PATIENCE
    while not re.search(pattern, seen):
        assert time.monotonic() < end, f"{pattern!r} was never shown:\n{seen[-2000:]}"
        if select.select([leader], [], [], 1.0)[0]:
            try:
                seen += os.read(leader, 65536).decode(errors="replace")
            except OSError:  # the program closed its side
                raise AssertionError(f"the program ended early:\n{seen[-2000:]}") from None
    return seen


def finish(process, leader) -> tuple[str, str]:
    """Wait for the end while the terminal is read; standard output and the rest of standard error."""
    shown, end = "", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part.decode(errors="replace")
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        os.close(leader)
    return output.decode(), shown


@pytest.fixture
def listening():
    """Python's own answer to SIGINT, which pytest-xdist's workers ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_inside_the_garbage_collector_is_not_lost(capsys):
    """Catches: a run that goes on to its end because Python drops an exception raised in a finaliser or a gc callback."""

    class Finalised:
        def __del__(self):
            raise KeyboardInterrupt

    def lose_an_interrupt():
        with guarded(Path("model.py"), False):
            Finalised()
            time.sleep(PATIENCE / 4)

    with pytest.raises(typer.Exit) as left:
        lose_an_interrupt()
    assert left.value.exit_code == 130
    assert capsys.readouterr().err.strip() == "Interrupted before any draw was kept."


def test_real_ctrl_c_during_sampling(models, tmp_path):
    path = tmp_path / "out.nc"
    process, leader = start(models, "--draws", "1000000", "-o", str(path))
    try:
        read_until(leader, r"sampling[^\n]*?[1-9]\d*/1000000 iterations")
        process.send_signal(signal.SIGINT)
        output, shown = finish(process, leader)
    finally:
        process.kill()
    assert process.returncode == 130, shown
    kept = re.search(r"the (\d+) draws of each chain made so far were kept", shown)
    assert kept, shown
    assert f"written to {path}" in output
    assert xarray.open_datatree(path, engine="h5netcdf")["posterior"].sizes["draw"] == int(kept[1]) > 0
    assert "Traceback" not in shown


def test_real_ctrl_c_before_any_draw(models, tmp_path):
    process, leader = start(models, "--no-progress", "-o", str(tmp_path / "out.nc"))
    try:
        assert process.stdout.readline().startswith(b"seed")
        process.send_signal(signal.SIGINT)
        output, shown = finish(process, leader)
    finally:
        process.kill()
    assert process.returncode == 130, shown
    assert shown.strip() == "Interrupted before any draw was kept."
    assert "posterior" not in output
    assert list(tmp_path.iterdir()) == []
