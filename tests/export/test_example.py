"""The example of handing a fit over runs, and what it prints is so."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "take_it_elsewhere.py"


def test_the_example_runs(capsys, monkeypatch, tmp_path):
    """Catches: a renamed verb or option; a fit that is not reused, or a receiver that does not keep the metric."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    said = capsys.readouterr().out
    first, begun = (
        int(re.search(rf"{who}: trust, (\d+) gradients", said)[1]) for who in ("first survey", "begun with it")
    )
    assert begun < first
    assert float(re.search(r"BlackJAX: ([\d.]+) leapfrogs", said)[1]) < 8.0
    assert said.count("for CmdStan: ") == 6 and list(tmp_path.rglob("inits_4.json"))
