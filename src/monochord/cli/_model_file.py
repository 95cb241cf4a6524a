"""Model files and data files: found, read, and matched to each other, or one clear error."""

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from monochord.errors import DataError, ModelError

DEMO = "breast_cancer.py"


def demo_file() -> Path:
    """The demo's model: in the wheel beside the package, in a checkout in `examples/`."""
    package = Path(__file__).resolve().parents[1]
    candidates = (package / "_examples" / DEMO, package.parents[1] / "examples" / DEMO)
    return next((path for path in candidates if path.is_file()), candidates[-1])


def load_module(path: Path) -> ModuleType:
    """Import the model file.

    **Raises** `ModelError` when it is missing or not a Python file; its own errors pass through.
    """
    if path.is_dir():
        raise ModelError(f"the model `{path}` is a folder. A model is a Python file. Name a file in it.")
    if not path.is_file():
        raise ModelError(f"the model file `{path}` does not exist. A model is a Python file. Check the path.")
    if path.suffix != ".py":
        raise ModelError(
            f"the model file `{path}` ends neither in .py nor in .stan. A model is a Python file (NumPyro, PyMC, Bambi, JAX, NumPy) "
            "or a Stan file. Rename it, or name another."
        )
    try:
        compile(path.read_bytes(), str(path.resolve()), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OSError) as error:
        if getattr(error, "filename", None) and isinstance(error, SyntaxError):
            raise
        raise ModelError(
            f"the model file `{path}` is not Python text ({error}). A model is a Python file. Check it."
        ) from None
    spec = importlib.util.spec_from_file_location(f"monochord_model_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise ModelError(f"the model file `{path}` cannot be imported. A model is a Python file. Check it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.append(str(path.resolve().parent))  # last: a neighbour must not replace a package of the same name
    spec.loader.exec_module(module)
    return module


def read_data(path: Path) -> dict[str, Any]:
    """The JSON object in a data file.

    **Raises** `DataError` when it is missing, not readable, not JSON, or not an object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"the data file `{path}` does not exist. The model's arguments come from it. Check the path."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the data file `{path}` cannot be read ({error}). Data are UTF-8 text in JSON. Check the file."
        ) from None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"the data file `{path}` is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            'Write one object, for example {"y": [1.0, 2.0]}.'
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"the data file `{path}` cannot be read: {error}. Data are numbers and arrays of them. Check it."
        ) from None
    if not isinstance(data, dict):
        raise DataError(
            f"the data file `{path}` holds a {type(data).__name__}. One object with a field for each argument is wanted. Wrap it."
        )
    return data


def load_target(model_path: Path, data_path: Path | None):
    """The target that a model file and its data define."""
    import monochord as mc

    if model_path.suffix == ".stan":
        return mc.target(model_path, data=read_data(data_path) if data_path is not None else None)
    module = load_module(model_path)
    data = _data_of(module, model_path, data_path)
    options = {
        name: getattr(module, name) for name in ("coords", "dims") if isinstance(getattr(module, name, None), dict)
    }
    model = getattr(module, "model", None)
    if callable(model) and not isinstance(model, (tuple, list)):
        _match_fields(model, data, skip=0, model_path=model_path)
        if _builds_a_model(module):
            return mc.target(model(**data), **options)
        return mc.target(model, data=data, **options)
    if model is not None and not isinstance(model, (tuple, list)):
        return mc.target(model, data=data or None, **options)
    if isinstance(model, (tuple, list)) and model and callable(model[0]):
        density, gradient = model[0], tuple(model[1:])
    else:
        density, gradient = getattr(module, "log_density", None), getattr(module, "gradient", None)
    if not callable(density):
        raise ModelError(
            f"`{model_path}` defines neither `model` (a NumPyro function, or a PyMC, Bambi or BridgeStan model) nor "
            "log_density(params, **data). One of them is the model. Define one."
        )
    return _from_density(module, model_path, density, gradient, data, options)


def _from_density(
    module: ModuleType, model_path: Path, density, gradient, data: dict[str, Any], options: dict[str, Any]
):
    """The target of a log density in JAX, or with `gradient` in NumPy."""
    import monochord as mc

    if not callable(getattr(module, "init", None)):
        raise ModelError(
            f"`{model_path}` defines log_density but no init(**data). The parameters' names and shapes come from it. "
            "Define init(**data) that returns, for example, {'mu': 0.0}."
        )
    _match_fields(density, data, skip=1, model_path=model_path)
    _match_fields(module.init, data, skip=0, model_path=model_path)
    model = (density, *gradient) if isinstance(gradient, tuple) else density
    given = None if isinstance(gradient, tuple) else gradient
    constrain = getattr(module, "constrain", None)
    return mc.target(model, gradient=given, init=module.init, data=data, constrain=constrain, **options)


def _data_of(module: ModuleType, model_path: Path, data_path: Path | None) -> dict[str, Any]:
    """The data file's fields, else what the model file's data() returns."""
    make_data = getattr(module, "data", None)
    if data_path is not None:
        return read_data(data_path)
    if not callable(make_data):
        return {}
    if any(p.default is p.empty for p in inspect.signature(make_data).parameters.values()):
        raise ModelError(f"data() in `{model_path}` takes arguments. It is called without any. Give them defaults.")
    return _checked_data(make_data(), model_path)


def _builds_a_model(module: ModuleType) -> bool:
    """Whether model(**data) returns a PyMC, Bambi or BridgeStan model: the file imports such a package, and not NumPyro."""
    origins = {
        (getattr(value, "__module__", None) or getattr(value, "__name__", "")).split(".")[0]
        for value in vars(module).values()
        if isinstance(value, (ModuleType, type))
    }
    names = {value.__name__.split(".")[0] for value in vars(module).values() if isinstance(value, ModuleType)} | origins
    return bool(names & {"pymc", "bambi", "bridgestan"}) and "numpyro" not in names


def _checked_data(made: Any, model_path: Path) -> dict[str, Any]:
    if not isinstance(made, dict):
        raise DataError(
            f"data() in `{model_path}` returned a {type(made).__name__}. The model's arguments come from it by name. "
            "Return a dictionary."
        )
    return made


def _match_fields(function, data: dict[str, Any], skip: int, model_path: Path) -> None:
    """**Raises** `DataError` naming fields that are missing or not known to the function."""
    parameters = list(inspect.signature(function).parameters.values())
    name = f"`{function.__name__}` in `{model_path}`"
    if len(parameters) < skip:
        raise ModelError(
            f"{name} takes no arguments. The first one is the parameters. Define {function.__name__}(params, **data)."
        )
    parameters = parameters[skip:]
    fixed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    if fixed:
        raise ModelError(
            f"{name} takes `{', '.join(fixed)}` by position only. Data are passed by name. Remove the / or * from it."
        )
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    required = {p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    missing = sorted(required - data.keys())
    unknown = [] if is_open else sorted(data.keys() - known)
    if missing or unknown:
        parts = [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
        parts += [f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} unknown to it"] if unknown else []
        raise DataError(
            f"the data do not fit {name}: {' and '.join(parts)}. It takes ({', '.join(p.name for p in parameters)}). "
            "Rename, add or drop fields (see --data)."
        )
