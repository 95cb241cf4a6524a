"""Stan models through BridgeStan: gradients from C++, called from the chains' threads."""

import json
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monochord.errors import DataError, MissingPackage, ModelError, OptionError
from monochord.targets._host import HostModel, HostTarget, host_target
from monochord.targets._labels import Labels
from monochord.targets._stan_hierarchies import stan_hierarchies

REJECTS = (RuntimeError,)  # BridgeStan's for any C++ exception, a domain error among them


def stan_target(model: Any, data: Any = None, labels: Labels | None = None) -> HostTarget:
    """Target from a `bridgestan.StanModel`, or from a .stan file (or its compiled library) and data.

    `data` is a dictionary, or the path or text of a JSON object. A file is compiled by BridgeStan with STAN_THREADS, once for
    each file; that needs its source tree (environment variable BRIDGESTAN, or BridgeStan's own download) and a C++
    compiler. A model compiled without STAN_THREADS is called by one chain at a time.

    Coordinates are Stan's unconstrained parameters, log Jacobians included and constants dropped. Parameters and
    transformed parameters are reported; indices count from 0. An exception of the model's rejects the proposal.

    **Raises** `MissingPackage` without BridgeStan, `ModelError` for a file that does not compile or a model without
    parameters, `DataError` for data that the model refuses, `OptionError` for data beside a made model.
    """
    known = ()
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        model = _compiled(path, data)
        known = stan_hierarchies(path.read_text()) if path.suffix == ".stan" else ()
    elif data is not None:
        raise OptionError(
            "`data` was given with a StanModel. It holds its data already. Make the StanModel with other data."
        )
    if model.param_unc_num() == 0:
        raise ModelError(f"the Stan model {model.name()} has no parameters. There is nothing to sample. Declare some.")
    names = tuple(_python_name(name) for name in model.param_unc_names())
    order = _positions(model.param_names(include_tp=True))
    product = getattr(model, "log_density_hessian_vector_product", None)
    host = HostModel(
        f"the Stan model {model.name()}",
        model.log_density_gradient,  # propto and jacobian are true by default
        partial(_quantities, model, order),
        tuple((name, index.shape) for name, index in order.items()),
        None if product is None else lambda x, v: product(x, v)[1],
        REJECTS,
        hierarchies=known,
        parallel=bool(re.search(r"STAN_THREADS\s*=\s*(true|1)", model.model_info(), re.IGNORECASE)),
    )
    return host_target(np.zeros(len(names)), names, host, None, labels)


def _compiled(path: Path, data: Any):
    try:
        import bridgestan
    except ImportError:
        raise MissingPackage("bridgestan", "a Stan model", extra="stan") from None
    if not path.is_file():
        raise ModelError(f"the Stan file `{path}` does not exist. A model is a .stan file. Check the path.")
    library = path
    if path.suffix == ".stan":
        try:
            library = bridgestan.compile_model(path, make_args=["STAN_THREADS=true"])
        except Exception as error:
            raise ModelError(
                f"BridgeStan could not compile `{path}`: {_last_line(error)} It needs its source tree and a C++ compiler. Mend the "
                "model where Stan points to a line of it; else set the environment variable BRIDGESTAN to the source tree."
            ) from error
    given = json.dumps(dict(data), default=_plain) if isinstance(data, Mapping) else data
    try:
        return bridgestan.StanModel(library, given, warn=False)
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise DataError(
            f"the Stan model of `{path}` could not be made: {_last_line(error)} Its data block says what it takes. Pass `data` "
            "with these names, types and sizes."
        ) from error


def _plain(value):
    return np.asarray(value).tolist()


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[-3:])[:600]


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    """Stan's ``theta.1.2`` as ("theta", (0, 1)); parts that are no numbers, as of complex values, stay in the name."""
    parts = name.split(".")
    index = tuple(int(part) - 1 for part in parts[1:] if part.isdigit())
    return ".".join(parts[:1] + [part for part in parts[1:] if not part.isdigit()]), index


def _python_name(name: str) -> str:
    base, index = _split(name)
    return f"{base}[{', '.join(map(str, index))}]" if index else base


def _positions(names: list[str]) -> dict[str, np.ndarray]:
    """For each quantity, where its entries stand in Stan's flat order, in the quantity's shape."""
    entries: dict[str, list[tuple[tuple[int, ...], int]]] = {}
    for position, name in enumerate(names):
        base, index = _split(name)
        entries.setdefault(base, []).append((index, position))
    order = {}
    for base, found in entries.items():
        shape = tuple(np.max([index for index, _ in found], axis=0) + 1) if found[0][0] else ()
        order[base] = np.empty(tuple(map(int, shape)), np.int64)
        for index, position in found:
            order[base][index] = position
    return order


def _quantities(model, order: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    flat = model.param_constrain(x, include_tp=True)
    return {name: flat[positions] for name, positions in order.items()}
