"""Which kind of model is it? From what a user has to a target, without importing packages that are not needed."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from monochord.errors import ModelError, OptionError
from monochord.targets._base import AbstractTarget, lists_as_arrays
from monochord.targets._callable import callable_target
from monochord.targets._labels import Labels
from monochord.targets._numpy import numpy_target
from monochord.targets._numpyro import numpyro_target


def make_target(
    model: Any,
    data: Any = None,
    init: Any = None,
    constrain: Callable | None = None,
    gradient: Callable | bool | None = None,
    labels: Labels | None = None,
    parallel: bool = True,
) -> AbstractTarget:
    """The target of a model of any kind; the options are those of `monochord.target`.

    **Raises** `ModelError` for a kind that is not understood, `OptionError` for options that the kind does not take.
    """
    if isinstance(model, (str, os.PathLike)) or _is_of(model, "bridgestan", "StanModel"):
        from monochord.targets._stan import stan_target

        return stan_target(model, data, labels)
    if data is not None and not isinstance(data, Mapping):
        raise OptionError(
            f"`data` is a {type(data).__name__}. Data are passed to the model by name. Pass a dictionary; only a Stan model takes a file."
        )
    if _is_of(model, "pymc", "Model"):
        from monochord.targets._pymc import pymc_target

        return pymc_target(model, data, labels)
    if _is_of(model, "bambi", "Model"):
        from monochord.targets._bambi import bambi_target

        return bambi_target(model, data, labels)
    functions = _host_functions(model, gradient)
    if functions is not None:
        return numpy_target(functions, _start(init, data), data, constrain, labels, parallel)
    if not callable(model):
        raise ModelError(
            f"a model of type {type(model).__name__} is not understood. Pass a NumPyro model (a function), a PyMC, Bambi or "
            "BridgeStan model, the path of a .stan file, a JAX log density with `init=`, or a pair of NumPy functions "
            "(log_density, gradient) with `init=`."
        )
    if init is None:
        return numpyro_target(model, data, labels)
    return callable_target(model, _start(init, data), data, constrain, labels)


def _is_of(model: Any, package: str, name: str) -> bool:
    """Whether `model` is of a class of `package`, which is not imported for that."""
    return any(kind.__name__ == name and kind.__module__.split(".")[0] == package for kind in type(model).__mro__)


def _start(init: Any, data: Mapping[str, Any] | None) -> Any:
    if init is None:
        raise OptionError(
            "a log density comes without `init`. The parameters' names and shapes come from it. Pass `init=`, for example "
            "init={'mu': 0.0} or init=np.zeros(3)."
        )
    return init(**lists_as_arrays(data)) if callable(init) else init


def _host_functions(model: Any, gradient: Callable | bool | None) -> tuple[Callable, ...] | None:
    """The NumPy functions of a model that is made of them."""
    if isinstance(model, (tuple, list)):
        if not 2 <= len(model) <= 3 or not all(map(callable, model)):
            raise ModelError(
                f"the model is a {type(model).__name__} of {len(model)} entries. A pair holds the functions (log_density, gradient); "
                "a third may multiply the Hessian with a direction. Pass such functions."
            )
        return tuple(model)
    if gradient is None or gradient is False:
        return None
    if not callable(model):
        raise ModelError(
            f"`gradient` was given with a model of type {type(model).__name__}. It needs a log density. Pass a function."
        )
    return (model,) if gradient is True else (model, gradient)
