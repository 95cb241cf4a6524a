"""A log density and its gradient in plain NumPy, or from any other language, as a target."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from monochord.errors import ModelError, MonochordError
from monochord.targets._base import cut
from monochord.targets._callable import Structure, structure_of
from monochord.targets._host import HostModel, HostTarget, host_target
from monochord.targets._labels import Labels

REJECTS = (ArithmeticError, np.linalg.LinAlgError, ValueError)  # what a density may raise outside its support


def numpy_target(
    functions: tuple[Callable, ...],
    init: Any,
    data: Mapping[str, Any] | None = None,
    constrain: Callable | None = None,
    labels: Labels | None = None,
    parallel: bool = True,
) -> HostTarget:
    """Target from ``(log_density, gradient)``, ``(log_density, gradient, hessian_product)`` or ``(value_and_gradient,)``.

    Each is called as ``function(params, **data)`` with `params` shaped like `init`, NumPy float64, unconstrained; a
    gradient comes back as the same pytree. `hessian_product(params, direction, **data)` is the log density's Hessian times
    `direction`; without it central differences of gradients are taken. Chains call from threads of their own: pass
    ``parallel=False`` where the functions cannot bear that, and calls take turns.

    While chains run, an `ArithmeticError`, `ValueError` or `LinAlgError` rejects the proposal, as does a log density of
    −∞ or NaN. Any other exception ends the run: with the draws so far where any are kept, else as the cause of a `ModelError`.

    **Raises** `ModelError` where a function fails at `init` or returns another shape.
    """
    structure, data = structure_of(init), dict(data or {})
    name = getattr(functions[0], "__name__", "log_density")
    both = partial(_both, functions, structure, data)
    quantities = partial(_quantities, constrain, structure, data)
    reported = _try_out(name, both, quantities, structure)
    product = partial(_product, functions[2], structure, data) if len(functions) == 3 else None
    model = HostModel(name, both, quantities, reported, product, REJECTS, parallel)
    observed = {key: np.asarray(value) for key, value in data.items() if isinstance(value, (list, np.ndarray))}
    return host_target(structure.center, structure.names, model, observed, labels)


def _both(functions, structure: Structure, data, x):
    params = structure.unravel(x)
    if len(functions) == 1:
        value, gradient = functions[0](params, **data)
    else:
        value, gradient = functions[0](params, **data), functions[1](params, **data)
    if np.shape(value) != ():
        raise ModelError(
            f"the log density has the shape {np.shape(value)}. It is one number for each point. Sum over observations before you "
            "return it."
        )
    return float(value), _flat(gradient, structure, "the gradient")


def _product(function, structure: Structure, data, x, v):
    return _flat(
        function(structure.unravel(x), structure.unravel(v), **data),
        structure,
        "the Hessian's product with a direction",
    )


def _quantities(constrain, structure: Structure, data, x) -> dict[str, Any]:
    if constrain is None:
        return dict(zip(structure.leaf_names, cut(x, structure.shapes), strict=True))
    return {str(name): value for name, value in constrain(structure.unravel(x), **data).items()}


def _flat(tree, structure: Structure, what: str) -> np.ndarray:
    leaves = jax.tree.leaves(tree)
    if [np.shape(leaf) for leaf in leaves] != list(structure.shapes):
        raise ModelError(
            f"{what} has the shapes {[np.shape(leaf) for leaf in leaves]}, where `init` has {list(structure.shapes)}. Each "
            "parameter has one derivative. Return the same structure as the parameters."
        )
    return np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(np.float64, copy=False)


def _try_out(name: str, both, quantities, structure: Structure):
    """Names and shapes of what is reported, from one call at `init`, which also shows that the functions run."""
    x = np.array(structure.center)
    try:
        both(x)
        made = quantities(x)
    except MonochordError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"`{name}` could not be evaluated at `init`: {type(error).__name__}: {first} Nothing can be sampled before it "
            "runs. Mend the line that the traceback shows, or choose an `init` inside the support."
        ) from error
    return tuple((key, np.shape(value)) for key, value in made.items())
