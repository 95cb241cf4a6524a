"""Models of every kind from the command line, and `monochord doctor`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[1] / "models"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = [
    "finite at starts", "gradient", "deterministic", "float64", "shape", "idle parameters", "discontinuities",
    "improper directions", "scales", "speed",
]  # fmt: skip
quiet = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@quiet
@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("pymc_eight_schools.py", "pymc"),
        (f"{EXAMPLES}/eight_schools_pymc.py --data {EXAMPLES}/eight_schools.json", "pymc"),
        (f"{EXAMPLES}/poisson_numpy.py", "numpy"),
        ("bambi_regression.py", "bambi"),
        ("numpy_pair.py", "numpy"),
        ("exact_gaussian.py", "jax"),
    ],
)
def test_doctor_passes_sound_models_of_every_kind(run, file, package):
    """Catches: a kind that the command line does not take, an alarm on a sound model."""
    pytest.importorskip(package, reason=f"pip install 'monochord[{package}]'")
    result = run("doctor", *file.split(), "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert [finding["name"] for finding in record["findings"]] == NAMES
    assert {finding["level"] for finding in record["findings"]} == {"ok"}, record
    assert record["gradients"] > 100


def test_doctor_says_which_check_failed(run):
    """A cross exits with 3. Catches: the mark and the exit code telling different stories."""
    result = run("doctor", "numpy_noisy.py")
    assert result.exit_code == 3
    assert "✗ deterministic: Two calls at one point differ." in result.stdout
    assert "– gradient: Not looked at" in result.stdout


@quiet
def test_models_that_cannot_be_made_are_bad_input(run, tmp_path):
    """Catches: a PyMC, Stan or NumPy model whose error is called a bug of ours."""
    pytest.importorskip("pymc", reason="pip install 'monochord[pymc]'")
    result = run("sample", "pymc_discrete.py")
    assert result.exit_code == 2 and "discrete free variables k" in result.stderr
    (tmp_path / "data.json").write_text('{"effects": [1.0, 2.0]}')
    result = run("sample", "pymc_eight_schools.py", "--data", str(tmp_path / "data.json"))
    assert result.exit_code == 2 and "field `effects` has shape" in result.stderr


def test_a_stan_file_needs_a_source_tree(run, tmp_path, monkeypatch):
    """Catches: make's output in place of a sentence."""
    pytest.importorskip("bridgestan", reason="pip install 'monochord[stan]'")
    monkeypatch.setenv("BRIDGESTAN", str(tmp_path / "none"))
    (tmp_path / "model.stan").write_text("parameters { real x; } model { x ~ std_normal(); }")
    result = run("fit", str(tmp_path / "model.stan"))
    assert result.exit_code == 2 and "set the environment variable BRIDGESTAN" in result.stderr
    result = run("fit", str(tmp_path / "absent.stan"))
    assert result.exit_code == 2 and "does not exist" in result.stderr


def test_a_pair_runs_in_two_processes_with_one_compile_cache(tmp_path):
    """A compiled program that calls back belongs to its process. Catches: one found in the cache by the next, which crashes."""
    arguments = ["sample", str(MODELS / "numpy_pair.py"), "--draws", "50", "--seed", "1", "--json"]
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-m", "monochord", *arguments], capture_output=True, text=True, timeout=120,
            env={**os.environ, "MONOCHORD_COMPILE_CACHE": str(tmp_path)},
        )  # fmt: skip
        assert run.returncode in (0, 3), run.stderr
        assert json.loads(run.stdout)["summary"][0]["name"] == "a[0]"
