"""Hierarchies of a PyMC model, read off its graph, and the lines that write them without centring.

`theta ~ Normal(mu, tau)` becomes `theta_raw ~ Normal(0, 1)` and `theta = mu + tau·theta_raw`: the same posterior in other
coordinates (Papaspiliopoulos, Roberts & Sköld 2007, "A general framework for the parametrization of hierarchical models").
"""

from typing import Any

import numpy as np

from monochord.targets._hierarchy import Hierarchy, expression

# PyTensor's operation: PyMC's name, and the keywords of its location, its scale and what else it takes
FAMILIES = {
    "NormalRV": ("Normal", "mu", "sigma", ()),
    "StudentTRV": ("StudentT", "mu", "sigma", ("nu",)),
    "CauchyRV": ("Cauchy", "alpha", "beta", ()),
    "LaplaceRV": ("Laplace", "mu", "b", ()),
    "LogisticRV": ("Logistic", "mu", "s", ()),
    "GumbelRV": ("Gumbel", "mu", "beta", ()),
}


def pymc_hierarchies(model: Any) -> tuple[Hierarchy, ...]:
    """One for each free variable of a location–scale family with a free variable among what sets its scale."""
    free = {variable.name: variable for variable in model.free_RVs}
    shapes = {variable.name: np.shape(value) for variable, value in _initial(model)}
    found = []
    for name, variable in free.items():
        operation = variable.owner.op
        family = FAMILIES.get(type(operation).__name__)
        if family is None or model.rvs_to_transforms.get(variable) is not None:
            continue
        parameters = operation.dist_params(variable.owner)
        others, (location, scale) = parameters[:-2], parameters[-2:]
        parents = {role: _parents(part, free.values()) for role, part in (("loc", location), ("scale", scale))}
        if parents["scale"]:
            drivers = tuple(dict.fromkeys((*parents["loc"], *parents["scale"])))
            found.append(Hierarchy(name, drivers, _lines(model, name, shapes[name], family, others, location, scale)))
    return tuple(found)


def _initial(model):
    point = model.initial_point()
    return [(variable, point[model.rvs_to_values[variable].name]) for variable in model.free_RVs]


def _lines(model, name, shape, family, others, location, scale) -> tuple[str, ...]:
    called, of_location, of_scale, more = family
    place, about_place = expression(_text(location), "location")
    width, about_width = expression(_text(scale), "scale")
    dims = model.named_vars_to_dims.get(name)
    if dims:
        size = f", dims={_quoted(dims)}"
    else:
        size = f", shape={tuple(map(int, shape))}" if shape else ""
    extra = "".join(f"{key}={_text(value) or key}, " for key, value in zip(more, others, strict=True))
    raw = f"{name}_raw"
    sum_of = f"{width} * {raw}" if _is_zero(location) else f"{place} + {width} * {raw}"
    deterministic = f"{name} = pm.Deterministic({name!r}, {sum_of}{f', dims={_quoted(dims)}' if dims else ''})"
    notes = "  ".join(note for note in (about_place, about_width) if note)
    return (
        f"{raw} = pm.{called}({raw!r}, {extra}{of_location}=0, {of_scale}=1{size})",
        deterministic + (f"  {notes}" if notes else ""),
    )


def _quoted(dims) -> str:
    names = [repr(str(axis)) for axis in dims]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _parents(part, free) -> tuple[str, ...]:
    """Names of the free variables that an expression depends on, not through others."""
    known, waiting, found = set(free), [part], {}
    while waiting:
        variable = waiting.pop()
        if variable in known:
            found[variable.name] = None
        elif variable.owner is not None:
            waiting += variable.owner.inputs
    return tuple(sorted(found))


def _plain(variable):
    """A variable beneath what only changes its shape or type."""
    while (
        variable.name is None
        and variable.owner is not None
        and len(variable.owner.inputs) == 1
        and "Elemwise" not in type(variable.owner.op).__name__
    ):
        variable = variable.owner.inputs[0]
    return variable


def _is_zero(variable) -> bool:
    value = getattr(_plain(variable), "data", None)
    return value is not None and not np.any(np.asarray(value))


def _text(variable) -> str | None:
    """How the user wrote an expression: a named variable, a number, or one indexed by another; None for anything else."""
    variable = _plain(variable)
    if variable.name is not None:
        return variable.name
    value = getattr(variable, "data", None)
    if value is not None:
        return f"{np.asarray(value).item():.15g}" if np.size(value) == 1 else None
    if variable.owner is not None and type(variable.owner.op).__name__ == "AdvancedSubtensor":
        parts = [_text(part) for part in variable.owner.inputs]
        if len(parts) == 2 and None not in parts:
            return f"{parts[0]}[{parts[1]}]"
    return None
