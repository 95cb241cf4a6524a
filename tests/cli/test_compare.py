"""`monochord compare`: table, rows, figure, one JSON object, refusals."""

import csv
import json

import pytest

from monochord.comparison import COLUMNS
from monochord.progress import TerminalReporter

TINY = ("--seeds", "1", "--chains", "2", "--seed", "1", "--no-progress")


def test_table_rows_and_json(run, tmp_path):
    """One run with --json and --output: one strict object, and the same rows in the file."""
    path = tmp_path / "rows.csv"
    result = run("compare", "gaussian.py", *TINY, "--json", "--output", path)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout, parse_constant=pytest.fail)
    assert {"rows", "outcomes", "reference", "status", "gradients_probes", "findings"} <= record.keys()
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(record["rows"]) == 9
    assert record["outcomes"][0]["outcome"] == "helped"
    assert record["reference_is_reliable"] is True


def test_ctrl_c(run, monkeypatch, tmp_path):
    """Before any seed is finished: exit code 130, one sentence, no file. Catches: a traceback, an empty CSV."""

    def report(self, info):
        if info.stage == "identity":
            raise KeyboardInterrupt

    monkeypatch.setattr(TerminalReporter, "sampling", report)
    path = tmp_path / "rows.csv"
    result = run("compare", "gaussian.py", "--seeds", "1", "--chains", "2", "--seed", "1", "--output", path)
    assert result.exit_code == 130
    assert "Interrupted before any seed was finished." in result.stderr
    assert not path.exists()


@pytest.mark.parametrize("options", [("--seeds", "0"), ("--target-accept", "2"), ("--output", "/nowhere/at/all.csv")])
def test_refusals(run, refused, options):
    refused(run("compare", "gaussian.py", "--seed", "1", *options))


def test_output_that_exists_is_refused_before_the_work(run, refused, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    refused(run("compare", "gaussian.py", *TINY, "--output", path), "exists")
    assert path.read_text() == "mine"
