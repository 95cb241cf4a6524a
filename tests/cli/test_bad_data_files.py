"""Data that do not fit get one error that names the file or field, and exit code 2."""

import pytest

# file: what is wrong, how to mend it
BAD = {
    "not_json.json": ("is not JSON", "line 3", "Write one object"),
    "empty.json": ("is not JSON", "Write one object"),
    "list.json": ("holds a list", "One object"),
    "not_utf8.json": ("cannot be read", "UTF-8"),
    "misses_y.json": ("y is missing. It takes (x, y, prior_scale)", "Rename, add or drop fields"),
    "unknown_fields.json": ("sigma, z", "Rename, add or drop fields"),
    "ragged.json": ("ragged", "`y`", "Pad or split"),
    "text_in_array.json": ("'much'", "`x`", "Encode text"),
    "null_in_array.json": ("None", "`y`", "missing values"),
    "huge_integers.json": ("99999999999999999999999999", "`x`"),
    "nan_entry.json": ("not finite at 8 of 8 random starts",),
    "huge_floats.json": ("not finite at 8 of 8 random starts",),
}


@pytest.mark.parametrize("data", BAD)
def test_bad_data(sample, refused, data):
    refused(sample("regression.py", "--data", data), *BAD[data])


@pytest.mark.parametrize("data", ["null_field.json", "text_field.json", "nested_object.json", "lengths_differ.json"])
def test_data_that_the_model_cannot_use(sample, refused, data):
    """The model itself raises, in its own lines or in NumPyro's check of shapes: no bug of Monochord either way."""
    refused(sample("regression.py", "--data", data))


def test_missing_data_file(sample, refused, tmp_path):
    refused(sample("regression.py", "--data", tmp_path / "none.json"), "does not exist", "Check the path")


def test_folder_as_data(sample, refused, tmp_path):
    refused(sample("regression.py", "--data", tmp_path), "cannot be read", "Check the file")


def test_model_with_arguments_and_no_data(sample, refused):
    refused(sample("regression.py"), "x, y", "--data")


def test_data_for_a_model_without_arguments(sample, refused):
    refused(sample("nan_density.py", "--data", "regression.json"), "x, y", "drop fields")


def test_integer_too_large_for_an_array(sample, refused):
    refused(sample("regression.py", "--data", "huge_integer_field.json"), "99999999999999999999999999")
