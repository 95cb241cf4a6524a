"""The terminal: what stands there alone, completion, colours only where they belong, errors of one screen."""

import os
import pty
import re
import select
import subprocess
import sys

import pytest

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")
VERBS = ("sample", "fit", "spectrum", "demo", "report")


def in_terminal(arguments, **environment) -> bytes:
    """What `monochord` writes to a terminal."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "monochord", *map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs,
        env={**clean, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side has closed it
            break
        if not part:
            break
        said += part
    os.close(ours)
    process.wait(60)
    return said


def piped(arguments, **environment) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "monochord", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**clean, **environment}, timeout=120)


def test_alone_it_says_what_to_do_next(run):
    result = run()
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) <= 24
    for verb in VERBS:
        assert f"monochord {verb}" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_that_parse(run, verb, monkeypatch):
    """Every example's options exist: parsed with --help put behind, which stops before any work."""
    monkeypatch.setenv("COLUMNS", "200")
    text = run(verb, "--help").stdout
    examples = re.findall(rf"^ *(monochord {verb}\b.*?) *$", text, re.MULTILINE)
    assert examples, text
    for example in examples:
        words = example.split()[1:]
        options = [word for word in words if word.startswith("-")]
        assert all(option in text for option in options), example
        assert run(*words, "--help").exit_code == 0
    assert "Exit codes" in text


def test_colours_only_on_a_terminal_and_not_with_no_color():
    """The positive control first: on a terminal help is coloured."""
    assert COLOUR.search(in_terminal(["--help"]))
    assert not COLOUR.search(in_terminal(["--help"], NO_COLOR="1"))
    assert b"\x1b" not in piped(["--help"]).stdout


def test_a_run_on_a_pipe_has_no_escapes(models, compile_cache):
    done = piped(
        ["sample", models / "gaussian.py", "--chains", "2", "--draws", "20", "--seed", "1"],
        MONOCHORD_COMPILE_CACHE=str(compile_cache),
    )
    assert done.returncode in (0, 3), done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    """The script is printed, and names are completed as the shell asks for them."""
    script = piped([f"--show-completion={shell}"], _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert script.returncode == 0, script.stderr
    assert b"_COMPLETE" in script.stdout.upper()
    code = "import sys; sys.argv[0] = 'monochord'; from monochord.cli import main; main()"
    asked = {
        "bash": {"COMP_WORDS": "monochord sp", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "monochord sp"},
        "fish": {"_TYPER_COMPLETE_ARGS": "monochord sp", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    environment = {**os.environ, "_MONOCHORD_COMPLETE": f"complete_{shell}", **asked}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, text=True, timeout=60)
    assert "spectrum" in done.stdout, done.stderr
    assert "sample" not in done.stdout


def test_errors_fit_one_screen(run, tmp_path):
    """Catches: a thousand frames of a model that calls itself, or ten thousand names of unknown fields."""
    deep = tmp_path / "deep.py"
    deep.write_text(
        "def a(n):\n    return b(n + 1)\n\n\ndef b(n):\n    return a(n + 1)\n\n\ndef init():\n    return {'x': 0.0}\n\n\n"
        "def log_density(params):\n    return a(0)\n"
    )
    wide = tmp_path / "wide.json"
    wide.write_text("{" + ", ".join(f'"field_{i}": {i}' for i in range(10_000)) + "}")
    for arguments, needed in (
        (("fit", deep), ("RecursionError", "lines left out")),
        (("fit", "regression.py", "--data", wide), ("unknown to it", "Rename, add or drop fields")),
    ):
        result = run(*arguments, "--no-progress", "--json")
        assert result.exit_code == 2
        lines = result.stderr[result.stderr.index("error: ") :].splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 900
        assert all(phrase in result.stderr for phrase in needed)


def test_exit_codes_are_those_of_the_package(run):
    """One list: in the help, the module's text and the README."""
    from pathlib import Path

    import monochord.cli

    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    for text in (run("--help").stdout, monochord.cli.__doc__, readme):
        flat = " ".join(str(text).split())
        for code in ("0 done", "1 a bug in Monochord", "2 bad input", "3 done and written", "130 interrupted"):
            assert code in flat
