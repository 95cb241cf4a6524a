"""Scores treat failures as specified; rows already made are not made again."""

import json
import sys

import pytest

from benchmarks import run, scores


def _row(method, status="ok", problem="p", **columns):
    return {"problem": problem, "method": method, "seed": 0, "status": status, "reason": "R-hat 2"} | columns


def test_a_failure_of_ours_counts_ten_times_what_it_spent():
    rows = [_row("monochord/a", "failed", gradients_total=70, grads_at_400=3), _row("peer/a", grads_at_400=350)]
    score = scores.ratio(rows, "monochord/a", "peer/a")
    assert score["mean"] == pytest.approx(2.0)
    assert score["ours_failed"] == ["p"]


def test_a_failed_peer_leaves_the_ratio_and_is_listed():
    rows = [
        _row("monochord/a", grads_at_400=30), _row("peer/a", "failed", grads_at_400=1),
        _row("monochord/a", problem="q", grads_at_400=30), _row("peer/a", problem="q", grads_at_400=120),
    ]  # fmt: skip
    score = scores.ratio(rows, "monochord/a", "peer/a")
    assert score["mean"] == pytest.approx(0.25)
    assert score["left_out"] == {"p": "R-hat 2"}


def test_run_resumes(tmp_path, monkeypatch):
    """Catches: rows made twice, and a failed row made again without being asked."""
    monkeypatch.setattr(run, "baseline_rows", lambda folder: [])
    monkeypatch.setattr(run, "find_folder", lambda folder: tmp_path)
    made = []

    def make_row(name, method, seed, options):
        made.append((name, method, seed))
        return _row(method, "failed", problem=name)

    monkeypatch.setattr(run, "make_row", make_row)
    path = tmp_path / "rows.jsonl"
    monkeypatch.setattr(sys, "argv", ["run", "--problems", "arK", "--methods", "nutpie", "--output", str(path)])
    run.main()
    assert len(made) == 2
    run.main()
    assert len(made) == 2
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2
