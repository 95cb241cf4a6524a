"""What the README shows runs, and what it says of files and commands is true."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_example_runs_and_prints_what_it_says(capsys):
    """Catches: an example that no longer works. κ of a Gaussian under its own fit is 1."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    kappa, verdict = capsys.readouterr().out.strip().splitlines()
    np.testing.assert_allclose(float(kappa.split()[0]), 1.0, atol=1e-3)
    assert verdict.startswith("trust ")
    assert names["data"].posterior["x"].shape[::2] == (4, 3)
    assert names["data"].sample_stats.attrs["status"] == "target ESS reached"


@pytest.mark.parametrize("verb", ["sample", "resume", "fit", "spectrum", "compare", "doctor", "demo", "report"])
def test_every_verb_documents_json_and_exit_codes(verb):
    """Catches: a command without --json or without its exit codes in --help."""
    from monochord.cli._app import app

    text = CliRunner().invoke(app, [verb, "--help"]).stdout
    assert "--json" in text
    assert "Exit codes" in text


def test_shell_examples_run(tmp_path, monkeypatch):
    """Catches: a renamed option or example file."""
    from monochord.cli._app import app

    monkeypatch.setenv("MONOCHORD_COMPILE_CACHE", "off")
    monkeypatch.chdir(ROOT)
    commands = re.findall(r"^    monochord (.*)$", README, flags=re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        command = command.replace("run.zarr", str(tmp_path / "run.zarr"))  # the store knows its seed
        arguments = command.replace("out.", f"{tmp_path}/out.").split()
        options = {"report": [], "doctor": ["--seed", "1"], "resume": ["--no-progress"]}.get(
            arguments[0], ["--seed", "1", "--no-progress"]
        )
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exit_code == 0, (command, result.stderr)
    assert (tmp_path / "out.nc").stat().st_size > 10_000


def test_files_that_the_documents_name_exist():
    """Catches: a link or path that has moved."""
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([A-Za-z_./]+)\)", text):
            assert (ROOT / target).exists(), (document, target)
        for path in re.findall(r"`((?:examples|benchmarks|tests)/[A-Za-z_./]+\.[a-z]+)`", text):
            assert (ROOT / path).exists(), (document, path)
