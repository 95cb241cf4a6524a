"""`monochord report` and `--report`: a page from a file, beside a run, and what is refused before any work."""

import json

import pytest

RUN = ("--chains", "2", "--draws", "40", "--seed", "1", "--no-progress")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


def test_sample_writes_the_page_beside_its_run(run, folder):
    """And in the page and the file stands the command that made them."""
    result = run("sample", "gaussian.py", *RUN, "-o", folder / "run.nc", "--report", folder / "run.html")
    assert result.exit_code in (0, 3), result.stderr
    assert f"report written to {folder / 'run.html'}" in result.stdout
    page = (folder / "run.html").read_text("utf-8")
    assert "<h1>Posterior of gaussian</h1>" in page
    assert "--chains 2 --draws 40 --seed 1 --no-progress" in page
    assert "The same trajectory under the fitted metric" in page


@pytest.mark.parametrize("with_model", [False, True], ids=["file alone", "with its model"])
def test_report_of_a_file(run, folder, with_model):
    path = folder / f"again-{with_model}.html"
    model = ("gaussian.py",) if with_model else ()
    result = run("report", folder / "run.nc", *model, "--output", path, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"report": str(path), "bytes": path.stat().st_size}
    page = path.read_text("utf-8")
    assert ("This needs the model" in page) is not with_model
    assert "monochord sample" in page  # the command of the run, kept in the file


def test_fit_and_spectrum_write_theirs(run, tmp_path):
    for verb in ("fit", "spectrum"):
        path = tmp_path / f"{verb}.html"
        result = run(verb, "gaussian.py", "--seed", "1", "--no-progress", "--json", "--report", path)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["report"] == str(path)
        assert "Not sampled yet" in path.read_text("utf-8")
        assert f"monochord {verb}" in path.read_text("utf-8")


@pytest.mark.parametrize("verb", ["sample", "fit", "spectrum", "report"])
def test_another_file_is_left_alone(run, refused, folder, tmp_path, verb):
    """Catches: a thesis replaced by a report, or minutes of work before the refusal."""
    mine = tmp_path / "mine.html"
    mine.write_text("my thesis")
    first = folder / "run.nc" if verb == "report" else "gaussian.py"
    option = "--output" if verb == "report" else "--report"
    refused(run(verb, first, option, mine), "no report of Monochord")
    assert mine.read_text() == "my thesis"


def test_what_is_no_run_is_refused(run, refused, tmp_path, models):
    refused(run("report", tmp_path / "nothing.nc"), "does not exist")
    refused(run("report", models / "gaussian.py", "-o", tmp_path / "r.html"), "cannot be read")
    refused(run("report", tmp_path), "is no file")


def test_another_model_is_refused(run, refused, folder, tmp_path):
    result = run("report", folder / "run.nc", "regression_with_data.py", "-o", tmp_path / "r.html")
    refused(result, "`result` has the coordinates")
