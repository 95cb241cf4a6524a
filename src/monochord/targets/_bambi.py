"""Bambi models: the PyMC model that Bambi builds, reported as Bambi reports it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from monochord.errors import OptionError
from monochord.targets._labels import Labels
from monochord.targets._pymc import PyMCTarget, pymc_target


def bambi_target(model: Any, data: Mapping[str, Any] | None = None, labels: Labels | None = None) -> PyMCTarget:
    """Target from a `bambi.Model`, which is built where it was not.

    Bambi centres predictors while it samples; intercepts are reported for the predictors as they were given, and the
    standardised group effects (`_offset`) and the likelihood's parameters at each observation are left out, as in Bambi's
    own results.

    **Raises** `OptionError` for `data`, which a Bambi model already holds.
    """
    if data:
        raise OptionError(
            "`data` was given with a Bambi model. It holds its data already. Build the model with other data."
        )
    if not model.built:
        model.build()
    shifts = list(_intercepts(model)) if model.center_predictors else []
    built = model.backend.model
    deterministic = {variable.name for variable in built.deterministics}
    per_observation = deterministic & set(model.family.likelihood.params)
    finish = partial(_as_bambi_reports, shifts, per_observation)
    return pymc_target(built, None, labels, finish, "the Bambi model")


def _intercepts(model):
    """Name of each intercept, names of the predictors' coefficients, and the means that were subtracted."""
    from bambi.utils import get_aliased_name

    for component in model.backend.distributional_components.values():
        part = component.component
        if part.intercept_term and part.common_terms:
            means = np.asarray(component.design_matrix_without_intercept).mean(0)
            yield (
                get_aliased_name(part.intercept_term),
                [get_aliased_name(t) for t in part.common_terms.values()],
                means,
            )


def _as_bambi_reports(shifts, left_out, quantities: dict[str, Any]) -> dict[str, Any]:
    import jax.numpy as jnp

    for intercept, predictors, means in shifts:
        value = quantities[intercept]
        coefficients = jnp.concatenate([quantities[name].reshape(-1, *value.shape) for name in predictors])
        quantities[intercept] = value - means @ coefficients
    return {name: value for name, value in quantities.items() if not name.endswith("_offset") and name not in left_out}
