"""Every row states its columns or the reason of its failure, from a real run to the files in the repository."""

import argparse
import json
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import clock, fits, row, run, schema
from benchmarks.problems import load
from benchmarks.runners import Run, Stages
from benchmarks.runners import _monochord as monochord_runner

RESULTS = Path(run.__file__).parent / "results"
OPTIONS = argparse.Namespace(max_seconds=120.0, timing=True, posteriordb=None)


@pytest.fixture(scope="module")
def timed_row():
    """Our own row of a small problem, with timing, in a process of its own."""
    return run.make_row("logistic_25", "monochord/auto/hmc", 0, OPTIONS)


def test_a_timed_row_is_complete(timed_row):
    assert schema.faults(timed_row) == []
    assert "seconds_cold" in timed_row
    assert timed_row["gradients_counted"] == timed_row["gradients_total"] + timed_row["idle_lanes"]


def test_cold_compiles_and_warm_does_not(timed_row):
    """Catches: a warm run whose programs are made anew, and a cold one that finds them made."""
    assert timed_row["seconds_cold"]["compile"] > 0.2
    assert timed_row["seconds_warm"]["compile"] < 0.1 * timed_row["seconds_cold"]["compile"]
    assert timed_row["seconds_warm"]["import"] < 0.1
    assert timed_row["seconds_warm"]["all"] < timed_row["seconds_cold"]["all"]


def test_our_stages_keep_their_sign_without_compiling(timed_row):
    for name in ("seconds_cold", "seconds_warm", "seconds_counted"):
        assert min(timed_row[name][part] for part in schema.PARTS) > -schema.ROUNDING, timed_row[name]


def test_a_method_that_cannot_run_is_a_failure_with_its_reason(monkeypatch):
    monkeypatch.delenv("CMDSTAN", raising=False)
    made = run.make_row("logistic_25", "cmdstan/diagonal", 0, OPTIONS)
    assert made["status"] == "failed"
    assert "CMDSTAN is not set" in made["reason"] or "cmdstanpy is not installed" in made["reason"]
    assert schema.faults(made) == []


def test_a_timeout_keeps_what_was_known(monkeypatch):
    """A limit that ends within the imports or the cold run: failed, with reason and memory."""
    options = argparse.Namespace(**(vars(OPTIONS) | {"max_seconds": 0.1}))
    made = run.make_row("logistic_25", "monochord/auto/hmc", 0, options)
    assert made["status"] == "failed"
    assert made["reason"].startswith("timed out")
    assert made["memory_mb"] > 10
    assert schema.faults(made) == []


def test_a_crash_outside_python_is_a_failure_with_its_reason(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    made = run.make_row("logistic_25", "monochord/auto/hmc", 0, OPTIONS)
    assert made["status"] == "failed"
    assert "exit code 1" in made["reason"]
    assert schema.faults(made) == []


def test_a_row_that_lacks_a_column_is_a_failure(monkeypatch):
    said = json.dumps({"problem": "p", "method": "m", "seed": 0, "status": "ok", "reason": ""})
    done = types.SimpleNamespace(stdout=said, stderr="", returncode=0)
    monkeypatch.setattr(run.subprocess, "run", lambda *arguments, **options: done)
    made = run.make_row("p", "m", 0, OPTIONS)
    assert made["status"] == "failed"
    assert "no gradients_fit" in made["reason"]


OTHER_FORMS = ("fits.jsonl",)  # rows of fits alone, without chains


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(RESULTS.glob("*.jsonl")) if path.name not in OTHER_FORMS],
    ids=lambda path: path.name,
)
def test_rows_in_the_repository_are_complete(path):
    wrong = {run.key_of(made): schema.faults(made) for made in run.read_rows(path) if schema.faults(made)}
    assert not wrong


def test_rows_of_fits_are_complete():
    """Catches: a row of a fit without its verdict, its cost or its finiteness; a crash that is not said to be one."""
    rows = fits.read(RESULTS / "fits.jsonl")
    assert len(rows) > 1000
    needed = {"problem", "algorithm", "seed", "verdict", "status", "gradients", "seconds", "finite"}
    assert not [row for row in rows if "crash" not in row and not needed <= row.keys()]
    assert not [row for row in rows if row["algorithm"] == fits.DEFAULT and ("crash" in row or not row["finite"])]


def test_faults_are_found(timed_row):
    """The negative control: each planted fault is named."""
    for change, expected in (
        ({"status": "failed", "reason": ""}, "no reason"),
        ({"r_hat": None}, "blank: r_hat"),
        ({"gradients_fit": timed_row["gradients_fit"] + 1}, "do not add up"),
        ({"seconds_warm": timed_row["seconds_warm"] | {"compile": 5.0}}, "seconds_warm does not add up"),
    ):
        assert expected in " ".join(schema.faults(timed_row | change)), change
    unloaded = {name: value for name, value in timed_row.items() if name != "load_average"}
    assert schema.faults(unloaded) == ["timed, and no load_average"]


def test_published_rows_say_what_they_lack(tmp_path, monkeypatch):
    monkeypatch.delenv("CMDSTAN", raising=False)
    entry = {
        "gradients_warmup": 30, "gradients_sampling": 70, "min_bulk_tail_ess": 500.0, "divergences": 2,
        "gradients_to_ess_400": 86,
    }  # fmt: skip
    record = {"programs": {"cmdstan_diag": "CmdStan"}, "posteriors": {"p": {"cmdstan_diag": entry, "other": {}}}}
    (tmp_path / "baselines.json").write_text(json.dumps(record))
    (made,) = run.baseline_rows(tmp_path)
    assert made["r_hat"] is None
    assert "R-hat" in made["reason"]
    assert schema.faults(made) == []
    assert schema.faults(made | {"reason": ""}) == ["blank: r_hat"]


def test_compiling_is_a_union_of_intervals(monkeypatch):
    """A program that traces another reports its seconds too; threads compile side by side."""
    now = [100.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    measured = clock.Clock()
    for end, seconds in ((103.0, 2.0), (104.0, 1.0), (105.0, 4.5), (110.0, 2.0)):  # 100.5 to 105, and 108 to 110
        now[0] = end
        measured.add(seconds)
    assert measured.compiling() == pytest.approx(6.5)
    assert measured.working() == pytest.approx(110.0 - 6.5)


def test_stages_leave_out_compiling():
    """The clock stands still while JAX compiles: a stage that only compiles takes next to nothing."""
    clock.CLOCK.listen()
    stages = Stages(None)
    with stages("warmup"):
        wall = time.perf_counter()
        compiled = clock.CLOCK.compiling()
        jax.jit(lambda x: jax.lax.scan(lambda c, _: (np.cos(1.0) * c @ c, None), x, length=3)[0]).lower(
            np.eye(3)
        ).compile()
        wall, compiled = time.perf_counter() - wall, clock.CLOCK.compiling() - compiled
    assert compiled > 0.5 * wall
    assert stages.seconds["warmup"] == pytest.approx(wall - compiled, abs=0.01)


def test_a_second_run_on_a_problem_keeps_its_programs():
    from benchmarks.flat import flatten

    flat = flatten(load("logistic_25"))
    first, second = flat.value_and_grad(), flat.value_and_grad()
    assert first(flat.center)[0] == second(flat.center)[0]
    assert list(flat.programs) == ["value_and_grad"]
    assert flat.programs["value_and_grad"]._cache_size() == 1


def test_parts_of_a_run_add_up():
    def slow_run(flat, method, seed):
        time.sleep(0.05)
        return Run(np.zeros((4, 2, 1)), {}, {"fit": 0.0, "warmup": 0.01, "sampling": 0.02}, 0)

    _, seconds = row.timed(types.SimpleNamespace(run=slow_run), None, "", 0)
    assert sum(seconds[part] for part in schema.PARTS) == pytest.approx(seconds["all"], abs=schema.ROUNDING)
    assert seconds["other"] > 0.015


def test_our_reporter_takes_seconds_off_the_stage_that_compiled(monkeypatch):
    told = clock.Clock()
    monkeypatch.setattr(monochord_runner, "CLOCK", told)
    reporter = monochord_runner._end_of_stages()
    for seconds, call in (
        (0.003, lambda: reporter.fit_done(None)),
        (0.002, lambda: reporter.sampling(types.SimpleNamespace(stage="warm-up"))),
        (0.001, lambda: reporter.sampling(types.SimpleNamespace(stage="sampling"))),
    ):
        time.sleep(0.01)
        told.add(seconds)
        call()
    left = {stage: reporter.without_preparing(stage, 0.01) for stage in ("fit", "warmup", "sampling")}
    assert left == pytest.approx({"fit": 0.007, "warmup": 0.008, "sampling": 0.009}, abs=5e-4)


def test_compiling_beside_a_stage_leaves_it_nothing_less_than_nothing(monkeypatch):
    """Catches: a stage that another thread compiled beside all the while, told as negative; an interval of another stage."""
    told = clock.Clock()
    monkeypatch.setattr(monochord_runner, "CLOCK", told)
    reporter = monochord_runner._end_of_stages()
    time.sleep(0.02)
    told.add(0.02)
    reporter.fit_done(None)
    assert 0.0 <= reporter.without_preparing("fit", 0.01) < 1e-3
    assert reporter.without_preparing("fit", 0.001) >= 0.0
    time.sleep(0.01)
    reporter.sampling(types.SimpleNamespace(stage="warm-up"))
    assert reporter.without_preparing("warmup", 0.009) == pytest.approx(0.009, abs=5e-4)
