"""What the tests of the command line share: the models, a runner in this process, and the shape of a refusal."""

import sys
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from typer.testing import CliRunner

MODELS = Path(__file__).resolve().parents[1] / "models"
TINY = ("--chains", "2", "--draws", "30", "--seed", "1", "--no-progress")


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory):
    """A folder of this test session, so that the user's own cache stays as it is."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def leaves_no_trace(monkeypatch, compile_cache):
    """The command line sets JAX's options and the import path; a test puts them back.

    JAX goes on writing to a cache that it has opened, whatever the options say later, until it is told to forget it.
    """
    monkeypatch.setenv("MONOCHORD_COMPILE_CACHE", str(compile_cache))
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = ("jax_enable_x64", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def run():
    """Run `monochord` in this process; `.py` and `.json` names without a folder are those in `tests/models`."""
    from monochord.cli._app import app

    def invoke(*arguments):
        return CliRunner().invoke(app, [placed(argument) for argument in arguments])

    return invoke


@pytest.fixture
def sample(run):
    """`monochord sample` with the settings of a test that looks at everything but the draws."""
    return lambda model, *options: run("sample", model, *TINY, *options)


def placed(argument) -> str:
    """The path of a shared model or data file; anything else as it is."""
    text = str(argument)
    return str(MODELS / text) if "/" not in text and (MODELS / text).is_file() else text


@pytest.fixture
def refused():
    """Assert one error and nothing else: exit code 2, what is wrong and how to mend it, and no result."""

    def check(result, *phrases):
        assert result.exit_code == 2, f"exit code {result.exit_code}:\n{result.stdout}\n{result.stderr}"
        assert result.stderr.startswith("error: "), result.stderr
        assert result.stderr.count("error: ") == 1 or "Traceback through the model" in result.stderr
        assert "Traceback (most recent call last)" not in result.stderr
        assert "bug in Monochord" not in result.stderr
        for phrase in phrases:
            assert phrase in result.stderr
        for heading in ("posterior ", "verdict", "gradients:", "written to"):
            assert heading not in result.stdout

    return check


@pytest.fixture
def models():
    """The folder of shared models."""
    return MODELS
