"""The same models through Python: a `ModelError` or `DataError` that says what, why and how to mend it."""

import json
import sys
from pathlib import Path

import jax
import pytest

import monochord as mc
from monochord.cli._model_file import load_module, load_target
from monochord.errors import DataError, ModelError, MonochordError

MODELS = Path(__file__).resolve().parents[1] / "models"
NO_TARGET = {
    "discrete_latent.py": "the latent site `which` is discrete",
    "param_site.py": "`numpyro.param` site `scale`",
    "no_latent_sites.py": "no latent sample sites",
    "zero_size.py": "no latent sample sites",
    "no_parameters.py": "`init` holds no numbers",
    "init_is_text.py": "Pass a float",
    "init_is_infinite.py": "Pass finite numbers",
}
NO_DENSITY = {
    "vector_density.py": "Sum over observations",
    "integer_density.py": "Return a float",
    "complex_density.py": "Return a float",
    "none_density.py": "Return a scalar",
}
RAISES = {"raises_in_density.py": KeyError, "branches_on_value.py": jax.errors.TracerBoolConversionError}
DATA = {"ragged.json": "ragged", "text_in_array.json": "Encode text", "null_in_array.json": "missing values"}


@pytest.fixture(autouse=True)
def same_import_path(monkeypatch):
    """A model file's folder goes on the import path; a test takes it off."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("model", NO_TARGET)
def test_no_target(model):
    with pytest.raises(ModelError, match=NO_TARGET[model]):
        load_target(MODELS / model, None)


@pytest.mark.parametrize("verb", [mc.check, mc.fit, mc.sample], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("model", NO_DENSITY)
def test_no_density(model, verb):
    """Every verb says the same, before it computes anything."""
    with pytest.raises(ModelError, match=NO_DENSITY[model]):
        verb(load_target(MODELS / model, None), seed=1)


@pytest.mark.parametrize("verb", [mc.check, mc.fit, mc.sample], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("model", RAISES)
def test_the_models_own_exception_is_the_cause(model, verb):
    """Catches: a traceback of the user's model that is swallowed, or a bare error from inside JAX."""
    with pytest.raises(ModelError, match="could not be evaluated") as caught:
        verb(load_target(MODELS / model, None), seed=1)
    assert isinstance(caught.value.__cause__, RAISES[model])


@pytest.mark.parametrize("model", ["nan_density.py", "outside_support.py"])
def test_no_finite_start(model):
    target = load_target(MODELS / model, None)
    (first, *_) = mc.check(target, seed=1)
    assert first.level == "error"
    with pytest.raises(ModelError, match="not finite at every random start"):
        mc.fit(target, seed=1)


@pytest.mark.parametrize("data", DATA)
def test_bad_data(data):
    model = load_module(MODELS / "regression.py").model
    with pytest.raises(DataError, match=DATA[data]):
        mc.target(model, data=json.loads((MODELS / data).read_text()))


def test_lengths_that_disagree_are_no_bug_of_ours():
    """NumPyro's own ValueError, or ours; a text that names the site."""
    with pytest.raises(ValueError, match="y"):
        mc.check(load_target(MODELS / "regression.py", MODELS / "lengths_differ.json"))


@pytest.mark.parametrize("model", ["idle_parameter.py", "constant_density.py", "unbounded.py"])
def test_a_scale_without_end_is_refused(model):
    with pytest.raises(MonochordError, match="scale of"):
        mc.sample(load_target(MODELS / model, None), seed=1, chains=2, draws=30)


@pytest.mark.parametrize("model", ["idle_parameter.py", "constant_density.py", "unbounded.py", "explosive.py"])
def test_a_fit_without_end_does_not_raise_and_is_not_trusted(model):
    """A fit that did not arrive returns its status."""
    assert mc.fit(load_target(MODELS / model, None), seed=1).verdict == "do not use"
