"""Fits in files on the command line: saved, used again, and refused where they do not belong."""

import json

import monochord as mc


def fitted(run, path, *options):
    return run("fit", "gaussian.py", "--seed", "1", "--no-progress", "--save", path, *options)


def test_a_saved_fit_is_sampled_with(run, sample, tmp_path):
    """The same draws as with the fit that `sample` makes from the same seed."""
    path = tmp_path / "fit.npz"
    made = fitted(run, path)
    assert made.exit_code == 0, made.stderr
    assert f"saved to {path}" in made.stdout
    saved, own = (json.loads(sample("gaussian.py", "--json", *o).stdout) for o in (("--fit", path), ()))
    assert saved["gradients_fit"] == own["gradients_fit"] == mc.load(path).cost.gradients
    assert saved["summary"] == own["summary"]
    shown = run("spectrum", "gaussian.py", "--fit", path, "--seed", "1", "--no-progress")
    assert shown.exit_code == 0, shown.stderr


def test_the_saved_file_is_named_in_json(run, tmp_path):
    record = json.loads(fitted(run, tmp_path / "a.npz", "--json").stdout)
    assert record["saved"] == str(tmp_path / "a.npz")


def test_an_existing_file_is_refused_before_any_work(run, refused, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr("monochord.cli._commands.load_target", lambda *_: 1 / 0)
        refused(fitted(run, path), "exists", "--force")
    assert path.read_bytes() == b"old"
    assert fitted(run, path, "--force").exit_code == 0
    assert mc.load(path).verdict == "trust"


def test_a_fit_of_other_parameters_is_refused(run, sample, refused, tmp_path):
    path = tmp_path / "a.npz"
    fitted(run, path)
    refused(sample("regression_with_data.py", "--fit", path), "belongs to another target")
    refused(sample("gaussian.py", "--fit", path, "--no-fit"), "--no-fit")


def test_a_file_that_is_no_fit_is_refused(sample, refused, tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("nothing")
    refused(sample("gaussian.py", "--fit", path), "no NPZ file")
    refused(sample("gaussian.py", "--fit", tmp_path / "b.npz"), "does not exist")


def test_a_saved_fit_is_measured_on_other_data(run, tmp_path):
    """Three scales of the same model: where it was made it holds, elsewhere it does not, and it begins a new fit."""
    path, data = tmp_path / "a.npz", tmp_path / "data.json"
    fitted(run, path)
    data.write_text('{"scale": [0.5, 3.0, 2.0]}')
    same = run("refit", path, "gaussian.py", "--seed", "2")
    assert same.exit_code == 0, same.stderr
    assert "the fit holds" in same.stdout
    measured = tmp_path / "b.npz"
    record = json.loads(
        run("refit", path, "gaussian.py", "--data", data, "--seed", "2", "--json", "--save", measured).stdout
    )
    assert "does not hold" in record["reasons"][0] and record["verdict"] != "trust"
    assert mc.load(measured).verdict == record["verdict"]
    begun = run("fit", "gaussian.py", "--data", data, "--seed", "2", "--start", measured, "--no-progress")
    assert begun.exit_code == 0 and "trust" in begun.stdout, begun.stderr


def test_refit_refuses_what_fit_refuses(run, refused, tmp_path):
    path = tmp_path / "a.npz"
    fitted(run, path)
    refused(run("refit", path, "regression_with_data.py"), "belongs to another target")
    refused(run("refit", tmp_path / "no.npz", "gaussian.py"), "does not exist")
