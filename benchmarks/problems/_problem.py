"""What every benchmark problem consists of, and the record of its true moments."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Params = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Moment:
    """Moments of one scalar quantity, with the error they are known to.

    `mcse_mean` and `mcse_mean_sq` are the standard errors of `mean` and `mean_sq`;
    they are 0 where the moment comes from a formula.  The suffix `_sq` belongs to
    the squared quantity, the prefix `log_` to its logarithm (None where some draws
    are not positive, or where nobody computed it).
    """

    mean: float
    sd: float
    mcse_mean: float
    mean_sq: float
    mcse_mean_sq: float
    sd_sq: float | None = None
    log_mean: float | None = None
    log_sd: float | None = None
    q05: float | None = None
    q50: float | None = None
    q95: float | None = None
    num_draws: int | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """One log density with its data and, where known, its true moments.

    `log_density(params, **data)` is a scalar function of an unconstrained pytree and
    includes the log Jacobians; `constrain(params, **data)` gives the constrained and
    derived quantities under the base names of `reference`.  Both derive every size
    from array shapes, so each entry of `data` may be traced.
    """

    name: str
    dim: int
    log_density: Callable[..., jax.Array]
    constrain: Callable[..., Params]
    init: dict[str, np.ndarray]
    data: dict[str, Any]
    reference: dict[str, Moment] | None
    reference_source: str
    verdict: str | None


def zeros(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Parameters that are all zero: fixes the structure of the pytree."""
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def count_coordinates(init: Mapping[str, np.ndarray]) -> int:
    """Number of unconstrained scalar coordinates in `init`."""
    return sum(int(np.size(leaf)) for leaf in init.values())


def identity(params: Params, **_: Any) -> Params:
    """Return `params` itself: the `constrain` of a problem without constraints."""
    return params


def entry_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """Return `name` for a scalar, else `name[1]`, `name[2]`, ... (1-based)."""
    if not shape:
        return [name]
    if len(shape) > 1:
        raise ValueError(
            f"`{name}` has shape {shape}. Reference names exist for scalars and "
            "vectors only. Return a vector from `constrain`."
        )
    return [f"{name}[{index}]" for index in range(1, math.prod(shape) + 1)]
