"""Exports on the command line: files for CmdStan, Julia and anything else, from a saved fit."""

import json
from pathlib import Path

import numpy as np
import pytest

import monochord as mc


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved fit of `gaussian.py`, made once."""
    from typer.testing import CliRunner

    from monochord.cli._app import app

    model = Path(__file__).resolve().parents[1] / "models" / "gaussian.py"
    path = tmp_path_factory.mktemp("saved") / "fit.npz"
    result = CliRunner().invoke(
        app, ["fit", str(model), "--seed", "1", "--no-progress", "--no-compile-cache", "--save", str(path)]
    )
    assert result.exit_code == 0, result.stderr
    return path


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("plain", ["metric.json", "metric.npz"]),
        ("advanced_hmc", ["metric.jl", "metric.json"]),
        ("cmdstan", ["arguments.txt", "metric.json"]),
    ],
)
def test_files_are_written_and_named(run, saved, tmp_path, to, files):
    result = run("export", saved, "--to", to, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    for name in files:
        assert f"written to {tmp_path / 'out' / name}" in result.stdout
    assert "keep" in result.stdout


def test_cmdstan_gets_starts_from_the_model(run, saved, tmp_path):
    """In the order of the parameters block, starts by name."""
    result = run(
        "export", saved, "--to", "cmdstan", "--out", tmp_path / "out", "--model", "gaussian.py", "--parameters", "x, shift",
        "--chains", "2", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert len(record["written"]) == 4 and "adapt engaged=0" in record["note"]
    metric = json.loads((tmp_path / "out" / "metric.json").read_text())["inv_metric"]
    fit = mc.load(saved)
    assert fit.names[0] == "shift"
    order = [1, 2, 3, 0]
    np.testing.assert_allclose(metric, fit.gaussian.metric.dense()[np.ix_(order, order)], rtol=1e-12)
    start = json.loads((tmp_path / "out" / "inits_1.json").read_text())
    assert start.keys() == {"x", "shift"} and len(start["x"]) == 3


def test_bad_requests_are_refused(run, refused, saved, tmp_path):
    out = tmp_path / "out"
    refused(run("export", saved, "--to", "elsewhere", "--out", out), "elsewhere", "cmdstan")
    refused(run("export", saved, "--to", "plain", "--out", out, "--parameters", "x"), "for CmdStan")
    refused(run("export", saved, "--to", "cmdstan", "--out", out, "--parameters", "x,y"), "receiver's parameters")
    refused(
        run("export", saved, "--to", "cmdstan", "--out", out, "--model", "regression_with_data.py"), "another target"
    )
    refused(run("export", tmp_path / "no.npz", "--to", "plain", "--out", out), "does not exist")
    assert not out.exists()
    run("export", saved, "--to", "plain", "--out", out)
    refused(run("export", saved, "--to", "plain", "--out", out), "exists")
    assert run("export", saved, "--to", "plain", "--out", out, "--force").exit_code == 0
