"""A model that cannot be sampled gets one error: what is wrong, why, how to mend it; exit code 2."""

import pytest

# file: what is wrong, how to mend it
WRONG_DENSITY = {
    "vector_density.py": ("`log_density` returned an array of shape (2,)", "Sum over observations"),
    "integer_density.py": ("type int64", "Return a float"),
    "complex_density.py": ("type complex128", "Return a float"),
    "none_density.py": ("returned NoneType", "Return a scalar"),
    "nan_density.py": ("not finite at 8 of 8 random starts", "Look for logarithms"),
    "outside_support.py": ("not finite at 8 of 8 random starts", "outside the support"),
}
WRONG_MODEL = {
    "discrete_latent.py": ("the latent site `which` is discrete", "Sum it out by hand"),
    "param_site.py": ("`numpyro.param` site `scale`", "Give it a prior"),
    "no_latent_sites.py": ("no latent sample sites", "Add `numpyro.sample` statements"),
    "zero_size.py": ("no latent sample sites", "Add `numpyro.sample` statements"),
    "no_parameters.py": ("`init` holds no numbers", "Return a dictionary"),
    "nothing_defined.py": ("defines neither `model`", "Define one"),
    "model_is_not_a_function.py": ("type int is not understood", "Pass a NumPyro model"),
    "density_without_init.py": ("no init(**data)", "Define init(**data)"),
    "init_is_text.py": ("the value 'zero' for `mu`", "Pass a float"),
    "init_is_infinite.py": ("non-finite entry in `mu`", "Pass finite numbers"),
    "data_is_not_a_dict.py": ("data()", "dict"),
    "data_needs_arguments.py": ("data", "takes arguments", "data_needs_arguments.py"),
    "equal_names.py": ("`a.b`", "ename"),
    "named_chain.py": ("`chain`", "ename"),
    "constrain_is_no_dict.py": ("`constrain`", "dict"),
    "constrain_is_empty.py": ("`constrain`", "dict"),
    "positional_only.py": ("`width`", "name"),
    "no_gradient.py": ("while_loop", "lax.scan"),
}
# file: the exception in the user's own words
RAISES = {
    "branches_on_value.py": "TracerBoolConversionError: Attempted boolean conversion of traced array",
    "raises_in_density.py": "KeyError: 'sigma'",
    "raises_in_model.py": "RuntimeError: no such school",
    "raises_at_import.py": "ZeroDivisionError: division by zero",
    "raises_in_init.py": "ValueError: could not convert string to float: 'one'",
    "raises_in_data.py": "FileNotFoundError: [Errno 2] No such file or directory",
    "misses_package.py": "ModuleNotFoundError: No module named 'monochord_no_such_package'",
    "shapes_disagree.py": "TypeError: dot_general requires contracting dimensions to have the same shape",
    "syntax_error.py": "SyntaxError: invalid syntax",
}


@pytest.mark.parametrize("model", WRONG_DENSITY)
def test_wrong_density(sample, refused, model):
    refused(sample(model), *WRONG_DENSITY[model])


@pytest.mark.parametrize("model", WRONG_MODEL)
def test_wrong_model(sample, refused, model):
    refused(sample(model), *WRONG_MODEL[model])


@pytest.mark.parametrize("model", RAISES)
def test_a_raising_model_shows_the_users_line_and_no_other(sample, refused, models, model):
    """Catches: frames of JAX, NumPyro or Monochord below or above the user's own."""
    result = sample(model)
    refused(result, RAISES[model])
    lines = (models / model).read_text().splitlines()
    number = 1 + next(i for i, line in enumerate(lines) if "# this line" in line)
    files = [line for line in result.stderr.splitlines() if line.startswith("  File ")]
    assert files
    assert all(model in line for line in files)
    assert f"line {number}" in files[-1]
    assert result.stderr.strip().splitlines()[-1].startswith(RAISES[model])


@pytest.mark.parametrize("verb", ["fit", "spectrum"])
@pytest.mark.parametrize("model", ["vector_density.py", "discrete_latent.py", "raises_in_density.py", "nan_density.py"])
def test_every_verb_refuses_alike(run, refused, verb, model):
    said = WRONG_DENSITY.get(model) or WRONG_MODEL.get(model) or (RAISES[model],)
    refused(run(verb, model, "--seed", "1", "--no-progress"), *said)


def test_missing_model_file(sample, refused, tmp_path):
    refused(sample(tmp_path / "none.py"), "does not exist", "Check the path")


def test_folder_as_model(sample, refused, tmp_path):
    refused(sample(tmp_path), "is a folder")


def test_model_file_of_another_type(sample, refused):
    refused(sample("regression.json"), "neither in .py nor in .stan", "Python file")


def test_model_that_is_not_text(sample, refused, tmp_path):
    path = tmp_path / "binary.py"
    path.write_bytes(b"\x00\xff\xfe binary")
    refused(sample(path), "binary.py")


@pytest.mark.parametrize("model", ["exits.py", "exits_in_density.py"])
def test_model_that_exits_is_no_success(sample, refused, model):
    """Catches: sys.exit(0) in a model file passed on as exit code 0 without any result."""
    refused(sample(model), model)


@pytest.mark.parametrize("model", ["idle_parameter.py", "constant_density.py", "unbounded.py"])
def test_a_scale_without_end_is_refused_with_its_evidence(sample, refused, model):
    name = "unused" if model == "idle_parameter.py" else "mu"
    refused(sample(model), f"`{name}`", "scale", "prior")


@pytest.mark.parametrize(("model", "name"), [("idle_parameter.py", "unused"), ("constant_density.py", "mu")])
def test_an_idle_parameter_gets_a_warning_with_its_evidence(run, model, name):
    result = run("fit", model, "--seed", "1", "--no-progress")
    assert f"! idle parameters: The log density does not depend on {name}" in result.stdout
    assert "exactly zero at 8 starts" in result.stdout


def test_an_explosive_density_gets_a_warning(sample):
    """Catches: samples of exp(mu⁴), which has no integral, shown without any word of it."""
    result = sample("explosive.py")
    assert result.exit_code in (2, 3)
    assert any(word in result.stdout + result.stderr for word in ("unbounded", "does not fall off", "finite spread"))


def test_heavy_tails_are_not_refused(sample):
    """Negative control of the refusals above: a Cauchy has no variance and a proper density."""
    result = sample("heavy_tails.py")
    assert result.exit_code in (0, 3), result.stderr
    assert "mu" in result.stdout
