"""An option out of range gets one error that names it and what may stand there, before any work."""

import pytest

# option, value, what is wrong, how to mend it
BAD = [
    ("--draws", "0", "draws=0", "between 1 and"),
    ("--draws", "-3", "draws=-3", "between 1 and"),
    ("--draws", "1000000000000", "draws=1000000000000", "between 1 and"),
    ("--chains", "0", "chains=0", "between 1 and"),
    ("--chains", "-1", "chains=-1", "between 1 and"),
    ("--chains", "100000", "chains=100000", "between 1 and"),
    ("--metric", "banana", "metric='banana'", "Choose one of 'auto', 'identity', 'diagonal', 'dense', 'low_rank'"),
    ("--kernel", "gibbs", "kernel='gibbs'", "Choose one of 'auto', 'nuts', 'hmc'"),
    ("--seed", "-1", "seed=-1", "between 0 and"),
    ("--seed", "99999999999999999999", "seed=99999999999999999999", "between 0 and"),
    ("--target-accept", "1.5", "target_accept=1.5", "between 0 and 1"),
    ("--target-accept", "nan", "target_accept=nan", "between 0 and 1"),
    ("--step-size", "0", "step_size=0", "positive"),
    ("--step-size", "-1", "step_size=-1", "positive"),
    ("--step-size", "inf", "step_size=inf", "positive"),
    ("--max-tree-depth", "0", "max_tree_depth=0", "between 1 and"),
    ("--max-tree-depth", "50", "max_tree_depth=50", "between 1 and"),
    ("--target-ess", "0", "target_ess=0", "positive"),
    ("--target-ess", "inf", "target_ess=inf", "positive"),
]


@pytest.mark.parametrize(("option", "value", "wrong", "mend"), BAD)
def test_out_of_range(sample, refused, option, value, wrong, mend):
    refused(sample("gaussian.py", option, value), wrong, mend)


def test_more_draws_than_memory(sample, refused):
    refused(sample("gaussian.py", "--chains", "9999", "--draws", "9999999"), "GiB", "Ask for fewer draws")


@pytest.mark.parametrize("verb", ["fit", "spectrum"])
@pytest.mark.parametrize(
    ("option", "value", "wrong", "mend"),
    [
        ("--metric", "identity", "metric='identity'", "Choose one of"),
        ("--seed", "-1", "seed=-1", "between 0 and"),
    ],
)
def test_out_of_range_for_other_verbs(run, refused, verb, option, value, wrong, mend):
    refused(run(verb, "gaussian.py", "--no-progress", option, value), wrong, mend)


def test_out_of_range_acceptance_of_spectrum(run, refused):
    refused(
        run("spectrum", "gaussian.py", "--no-progress", "--seed", "1", "--target-accept", "1.5"), "target_accept=1.5"
    )


@pytest.mark.parametrize("arguments", [("--draws", "many"), ("--banana",), ("--chains",)])
def test_what_the_parser_refuses(sample, arguments):
    result = sample("gaussian.py", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr
    assert result.stderr.count("Error") == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [("sample",), ("report",), ("sing", "gaussian.py")])
def test_incomplete_commands(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("sizes", [("--chains", "1"), ("--draws", "1"), ("--chains", "1", "--draws", "1")])
def test_too_few_draws_for_a_verdict_are_not_called_good(sample, sizes):
    """Catches: exit code 0 and no word of doubt where R̂ cannot be computed."""
    result = sample("gaussian.py", *sizes)
    assert result.exit_code == 3, result.stderr
    assert "!" in result.stdout.split("posterior", 1)[1]
    assert "Traceback" not in result.stderr
