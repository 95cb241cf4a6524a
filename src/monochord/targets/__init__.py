"""What do we sample? Targets: a flat log density with names, from a JAX function or a NumPyro model."""

from monochord.targets._base import AbstractTarget, output_name, scalar_names, with_data
from monochord.targets._callable import CallableTarget, callable_target
from monochord.targets._check import Finding, Findings, check_signature, check_target
from monochord.targets._gradient import (
    Evaluations,
    constrain_draws,
    evaluate,
    hessian_products,
    hessians,
    idle_lanes,
    join,
)
from monochord.targets._numpyro import NumPyroTarget, numpyro_target

__all__ = [
    "AbstractTarget",
    "CallableTarget",
    "Evaluations",
    "Finding",
    "Findings",
    "NumPyroTarget",
    "callable_target",
    "check_signature",
    "check_target",
    "constrain_draws",
    "evaluate",
    "hessian_products",
    "hessians",
    "idle_lanes",
    "join",
    "numpyro_target",
    "output_name",
    "scalar_names",
    "with_data",
]
