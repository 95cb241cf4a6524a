"""What a reader of the progress line is told."""

import sys
import types
import warnings

import pytest

from monochord.fits import StepInfo
from monochord.progress import (
    Reporter,
    TerminalReporter,
    in_notebook,
    progress_of,
    reporter,
    sampling_text,
    seconds_left,
)
from monochord.sampling import SamplingInfo


def _info(**changes):
    base = SamplingInfo("sampling", 250, 1000, 5000, 3, 0.812, 0.5, seconds=2.0, kernel="hmc")
    return base._replace(**changes)


def test_line_names_everything_a_reader_wants():
    """Catches: a rate over the wrong time, an ESS without its goal, a missing R̂."""
    text = sampling_text(_info(ess=100.0, r_hat=1.0234, target_ess=400.0))
    for part in ("250 iterations", "hmc", "5,000 gradients (2,500/s)", "acceptance 0.81", "3 divergences", "ESS 100 of 400", "R̂ 1.023", "6 s left"):  # fmt: skip
        assert part in text


def test_time_left_follows_what_the_run_waits_for():
    """Catches: time left until a draw limit that an ESS comes before, or in warm-up, where nobody knows."""
    assert seconds_left(_info()) == pytest.approx(6.0)
    assert seconds_left(_info(target_ess=400.0, ess=200.0, total=20_000)) == pytest.approx(2.0)
    assert seconds_left(_info(stage="warm-up")) is None
    assert progress_of(_info(target_ess=400.0, ess=200.0)) == (200, 400)
    assert progress_of(_info()) == (250, 1000)


def test_plain_lines_come_at_looks_and_not_at_every_block(capsys):
    """Catches: a line for every quarter second in a log file, or none until the end."""
    shown = TerminalReporter(is_live=False)
    for draws in range(10, 100, 10):
        shown.sampling(_info(draws=draws, seconds=0.1 * draws))
    shown.sampling(_info(draws=100, seconds=11.0, ess=80.0, r_hat=1.02, target_ess=400.0))
    shown.sampling(_info(draws=110, seconds=11.2, ess=80.0, r_hat=1.02, target_ess=400.0))
    shown.sampling(_info(draws=120, seconds=22.0, ess=80.0, r_hat=1.02, target_ess=400.0))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_notebook_gets_a_live_line(monkeypatch):
    """Where an IPython kernel runs, progress shows without being asked for. Catches: silence in notebooks, whose standard
    error is no terminal."""
    assert not in_notebook()
    assert type(reporter(None)) is Reporter
    shell = type("ZMQInteractiveShell", (), {})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell()))
    assert in_notebook()
    assert isinstance(reporter(None), TerminalReporter)


def test_a_notebook_without_widgets_gets_plain_lines(monkeypatch, capsys):
    """Catches: a warning of `rich` at each refresh, where the package that shows its live line is absent."""
    shell = type("ZMQInteractiveShell", (), {})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell()))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with reporter(None) as report:
            report.fit_step(StepInfo("full", 1, 128, None, None))
    assert "128 gradients" in capsys.readouterr().err
