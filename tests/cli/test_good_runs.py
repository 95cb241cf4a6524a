"""What works: both kinds of model file, data() and --data, and the exit codes of runs that end well or too early."""

import json
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("gaussian.py",),
        ("regression_with_data.py",),
        ("regression.py", "--data", "regression.json"),
        ("größe-mit-strichen.py",),
        ("prints.py",),
        ("constrained_vectors.py",),
        ("exact_gaussian.py",),
        ("exact_gaussian.py", "--metric", "low_rank"),
        ("exact_gaussian.py", "--kernel", "hmc"),
        ("zero_size_beside_others.py",),
        ("improper_prior.py",),
    ],
    ids=" ".join,
)
def test_model_files_that_work(sample, arguments):
    result = sample(*arguments)
    assert result.exit_code in (0, 3), result.stderr
    assert "posterior" in result.stdout
    assert "error" not in result.stderr


def test_slashes_in_names_reach_the_file(sample, tmp_path):
    """Catches: an error only after sampling, which loses every draw."""
    result = sample("slash_in_name.py", "-o", tmp_path / "out.nc")
    assert result.exit_code in (0, 3), result.stderr
    assert (tmp_path / "out.nc").is_file()


def test_data_file_goes_before_the_models_own_data(sample, tmp_path):
    """The slope of y = −3 x, and not the 2 of data()."""
    path = tmp_path / "steep.json"
    path.write_text('{"x": [10.0, -20.0, 15.0], "y": [-30.0, 60.0, -45.0]}')
    result = sample("regression_with_data.py", "--data", path)
    assert re.search(r"slope +-[23]\.", result.stdout), result.stdout


def test_data_file_and_data_function_give_the_same_draws(sample):
    tables = [
        re.search(r"^ slope .*$", sample(*arguments).stdout, re.MULTILINE)[0].split()
        for arguments in (("regression_with_data.py",), ("regression.py", "--data", "regression.json"))
    ]
    assert tables[0] == tables[1]


def test_model_imports_its_neighbour(sample, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "neighbour.py").write_text("WIDTH = 1.7\n")
    (folder / "my-model.py").write_text(
        "from neighbour import WIDTH\n\n\ndef init():\n    return {'mu': 0.3}\n\n\n"
        "def log_density(params):\n    return -0.5 * (params['mu'] / WIDTH) ** 2\n"
    )
    result = sample(folder / "my-model.py")
    assert result.exit_code in (0, 3), result.stderr


def test_long_run_is_done(run):
    """8,000 nearly independent draws: R̂ above 1.01 would be a failure of the sampler, not of luck."""
    result = run("sample", "gaussian.py", "--chains", "4", "--draws", "2000", "--seed", "1", "--no-progress")
    assert result.exit_code == 0, result.stdout


def test_target_ess_not_reached(sample):
    result = sample("gaussian.py", "--target-ess", "1e6")
    assert result.exit_code == 3
    assert "posterior" in result.stdout
    assert "target ESS" in result.stdout


def test_target_ess_reached_stops_early(run):
    options = ("--chains", "4", "--draws", "100000", "--seed", "1", "--no-progress", "--target-ess", "2000", "--json")
    result = run("sample", "gaussian.py", *options)
    assert result.exit_code == 0, result.stdout
    assert '"status": "target ESS reached"' in result.stdout


def test_r_hat_doubt_is_said_beside_constant_entries(sample):
    """Catches: the NaN R̂ of a constant entry (a Cholesky factor's zeros) hiding the worst R̂ of the others."""
    result = sample("constrained_vectors.py", "--json")
    record = json.loads(result.stdout)
    values = {row["name"]: row["r_hat"] for row in record["summary"]}
    assert values["correlation[0, 0]"] is None
    worst = max((value, name) for name, value in values.items() if value is not None)
    assert worst[0] > 1.01  # 30 draws of two chains never agree to 1 % in all nine quantities
    assert any(f"R̂ of {worst[1]} is {worst[0]:.3f}" in doubt for doubt in record["doubts"])


def test_help_imports_nothing_heavy():
    """Catches: a second of imports before the first line of help."""
    code = (
        "import sys; from monochord.cli import main; sys.argv = ['monochord', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'jax', 'numpyro', 'blackjax', 'arviz_stats', 'scipy', 'xarray'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for arguments in (["--help"], ["sample", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout
        assert "Exit codes" in done.stdout


@pytest.mark.parametrize(
    ("model", "code"), [("vector_density.py", 2), ("raises_in_model.py", 2), ("gaussian.py", 3)], ids=str
)
def test_exit_codes_of_the_program(models, model, code):
    """As a shell sees them; a target that cannot be reached makes the good model's code certain."""
    command = [sys.executable, "-m", "monochord", "sample", str(models / model), "--chains", "2", "--draws", "30"]
    options = ["--seed", "1", "--no-progress", "--target-ess", "1e6"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback (most recent call last)" not in done.stderr
