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


def test_whoever_leaves_a_ratio_is_listed_with_the_reason_and_what_ours_did():
    rows = [
        _row("monochord/a", grads_at_400=30), _row("peer/a", "failed"),
        _row("monochord/a", "failed", problem="q", gradients_total=4500), _row("peer/a", "failed", problem="q"),
        _row("monochord/a", problem="r", grads_at_400=30), _row("peer/a", problem="r", grads_at_400=30, r_hat=1.0),
    ]  # fmt: skip
    text = scores.left_table(rows, "monochord/a")
    assert "| peer/a | p | R-hat 2 | 30 |" in text
    assert "| peer/a | q | R-hat 2 | failed: R-hat 2 |" in text
    assert "| r |" not in text
    assert "| monochord/a | q | 0 | R-hat 2 | 4,500 |" in scores.failure_table(rows)


def test_rows_without_r_hat_are_named():
    """Catches: a published cost that passes for a judged one."""
    rows = [_row("peer/a", grads_at_400=30, r_hat=None), _row("peer/b", grads_at_400=30, r_hat=1.001)]
    text = scores.unjudged(rows)
    assert "peer/a on 1 problems" in text
    assert "peer/b" not in text


def test_rows_without_a_truth_are_named():
    rows = [
        _row("peer/a", grads_at_400=30, r_hat=1.0, within=None),
        _row("peer/b", grads_at_400=9, r_hat=1.0, within=True),
    ]
    assert "no truth was known when they were made: p" in scores.unjudged(rows)
    assert "truth" not in scores.unjudged(rows[1:])


def test_the_target_is_the_cheapest_peer_that_was_judged_right():
    """Catches: a failed or merely published row as the target."""
    rows = [
        _row("cmdstan/diagonal", grads_at_400=10, source="elsewhere"), _row("peer/a", "failed", grads_at_400=20),
        _row("peer/b", grads_at_400=4000), _row("peer/c", grads_at_400=3000), _row("monochord/a", grads_at_400=70),
        _row("peer/a", "failed", problem="q"),
    ]  # fmt: skip
    lines = scores.target_table(rows, ("monochord/a",)).splitlines()
    assert lines[2:] == [
        "| p | peer/c | 3,000 | 2 of 3 | 10 | 70 |", "| q | none | - | 0 of 1 | - | not run |",
    ]  # fmt: skip


def test_reasons_are_counted_for_each_peer():
    rows = [
        _row("peer/a", grads_at_400=4), _row("peer/a", "failed", problem="q"),
        _row("peer/a", "failed", problem="r") | {"reason": "timed out after 9 s"},
        _row("peer/a", "failed", problem="s") | {"reason": "KeyError: x"}, _row("monochord/a", "failed"),
        _row("peer/a", "failed", problem="t", r_hat=1.012), _row("peer/a", "failed", problem="u", r_hat="inf"),
    ]  # fmt: skip
    assert scores.reasons_table(rows).splitlines()[2:] == ["| peer/a | 1 of 6 | 1 | 2 | 0 | 0 | 1 | 1 |"]


def test_the_table_has_no_blank_cell():
    rows = [
        _row("monochord/a", grads_at_400=3000),
        _row("peer/a", "failed"),
        _row("peer/a", problem="q", grads_at_400=9),
    ]
    lines = scores.table(rows).splitlines()
    assert lines[2:] == ["| p | 3,000 | failed: R-hat 2 |", "| q | not run | 9 |"]


def test_the_timing_table_charges_imports_to_the_cold_run():
    parts = {"import": 1.0, "compile": 2.0, "fit": 0.5, "warmup": 0.25, "sampling": 0.25, "other": 0.0, "all": 4.0}
    warm = parts | {"import": 0.0, "compile": 0.0, "all": 1.0, "cpu": 1.5}
    rows = [_row("peer/a", seconds_import=3.0, seconds_cold=parts | {"cpu": 9.0}, seconds_warm=warm), _row("peer/b")]
    lines = scores.timing_table(rows).splitlines()
    assert lines[2] == "| p | peer/a | cold | 4.00 | 2.00 | 0.50 | 0.25 | 0.25 | 0.00 | 7.00 | 9.00 |"
    assert lines[3] == "| p | peer/a | warm | 0.00 | 0.00 | 0.50 | 0.25 | 0.25 | 0.00 | 1.00 | 1.50 |"
    assert len(lines) == 4
    assert scores.timing_table([_row("peer/b")]) == ""


def test_the_plot_is_made_from_rows(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need it: pip install matplotlib")
    rows = [
        _row("monochord/auto/nuts", grads_at_400=3000), _row("pymc/default", "failed"),
        _row("pymc/default", problem="q", grads_at_400=90_000), _row("nutpie/diagonal", "failed", problem="r"),
    ]  # fmt: skip
    path = tmp_path / "rows.png"
    scores.plot(scores.grouped(rows), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 200_000


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
    with path.open("a") as file:
        file.write('{"problem": "arK-arK", "meth')  # as a killed run leaves it
    run.main()
    assert len(made) == 2
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_our_rows_of_another_commit_are_made_again_when_asked(tmp_path, monkeypatch):
    """Catches: a rerun that leaves columns of several states of the code, or makes peers' rows again."""
    for name, value in (("baseline_rows", lambda folder: []), ("find_folder", lambda folder: tmp_path)):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(run, "current_commit", lambda: "new")
    path, made = tmp_path / "rows.jsonl", []
    rows = [
        _row("monochord/auto/nuts", problem="arK-arK", versions={"commit": "old-dirty"}),
        *(_row(f"monochord/auto/{kernel}", problem="arK-arK", versions={"commit": "new-dirty"}) for kernel in ("auto", "hmc")),
        _row("nutpie/diagonal", problem="arK-arK", versions={}), _row("nutpie/low_rank", problem="arK-arK"),
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make_row(name, method, seed, options):
        made.append(method)
        return _row(method, problem=name, versions={"commit": "new"}, r_hat=1.5)

    monkeypatch.setattr(run, "make_row", make_row)
    for flags, expected in (([], []), (["--stale"], ["monochord/auto/nuts"]), (["--stale"], ["monochord/auto/nuts"])):
        monkeypatch.setattr(sys, "argv", ["run", "--problems", "arK", "--output", str(path), *flags])
        run.main()
        assert made == expected
    assert [row.get("r_hat") for row in run.read_rows(path) if row["method"] == "monochord/auto/nuts"] == [1.5]


def test_notes_keep_their_text_around_the_tables(tmp_path):
    """Catches: text that is lost, tables that pile up with each run, a file without markers written over."""
    path = tmp_path / "NOTES.md"
    path.write_text("\n\n".join(["# Head", scores.NOTES_MARKERS[0], "old", scores.NOTES_MARKERS[1], "tail\n"]))
    for tables in (["a", "b"], ["c"]):
        scores.write_notes(path, tables)
        begin, end = scores.NOTES_MARKERS
        assert path.read_text() == "\n\n".join(["# Head\n\n" + begin, *tables, end + "\n\ntail\n"])
    path.write_text("plain")
    with pytest.raises(ValueError, match="lacks the lines"):
        scores.write_notes(path, ["a"])
    assert path.read_text() == "plain"
