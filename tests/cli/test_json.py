"""--json: exactly one strict JSON object on standard output, on success and on error."""

import json

import pytest

TINY = ("--seed", "1", "--no-progress", "--json")


def one_object(text: str) -> dict:
    """Parse, and refuse NaN and Infinity, which are not JSON."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("model", ["gaussian.py", "constrained_vectors.py"])
def test_sample(run, model):
    record = one_object(run("sample", model, "--chains", "2", "--draws", "30", *TINY).stdout)
    assert {"summary", "doubts", "output", "findings", "seed", "verdict", "gradients_sampling"} <= record.keys()
    assert record["output"] is None
    assert {"name", "mean", "sd", "ess_bulk", "ess_tail", "r_hat"} <= record["summary"][0].keys()


def test_sample_with_one_draw(run):
    record = one_object(run("sample", "gaussian.py", "--chains", "1", "--draws", "1", *TINY).stdout)
    assert record["summary"][0]["r_hat"] is None


def test_fit(run):
    result = run("fit", "gaussian.py", *TINY)
    assert result.exit_code == 0
    record = one_object(result.stdout)
    assert record["verdict"] == "trust"
    assert len(record["mean"]) == len(record["sd"]) == len(record["names"]) == 4
    assert set(record["elbo"]) == {"value", "standard_error", "num_draws"}


def test_spectrum(run):
    result = run("spectrum", "gaussian.py", *TINY)
    assert result.exit_code == 0
    assert [row["metric"] for row in one_object(result.stdout)["spectrum"]] == ["identity", "diagonal", "fitted"]


@pytest.mark.parametrize("verb", ["sample", "fit", "spectrum"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("vector_density.py",),
        ("raises_in_density.py",),
        ("raises_at_import.py",),
        ("exits.py",),
        ("regression.py", "--data", "not_json.json"),
        ("gaussian.py", "--metric", "banana"),
        ("none.py",),
    ],
    ids=" ".join,
)
def test_errors(run, verb, arguments):
    result = run(verb, *arguments, *TINY)
    assert result.exit_code == 2
    record = one_object(result.stdout)
    assert record["exit_code"] == 2
    assert record["error"] in result.stderr


def test_what_the_parser_refuses(run):
    """Catches: a script that reads standard output and gets nothing, as the parser ran before our own checks."""
    result = run("sample", "gaussian.py", "--draws", "many", "--json")
    assert result.exit_code == 2
    assert one_object(result.stdout)["exit_code"] == 2


def test_prints_of_the_model_stay_off_standard_output(run):
    result = run("sample", "prints.py", "--chains", "2", "--draws", "30", *TINY)
    one_object(result.stdout)
    assert "hello from the file" in result.stderr
