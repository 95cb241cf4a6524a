"""What do we sample? Targets: a flat log density with names, from a JAX function or a NumPyro model."""

from monochord.targets._base import AbstractTarget, output_name, scalar_names, with_data
from monochord.targets._callable import CallableTarget, callable_target
from monochord.targets._check import Finding, Findings, check_signature, check_target
from monochord.targets._dispatch import make_target
from monochord.targets._doctor import examine, refused
from monochord.targets._gradient import (
    Evaluations,
    constrain_draws,
    evaluate,
    hessian_products,
    hessians,
    idle_lanes,
    join,
    running,
)
from monochord.targets._hierarchy import Hierarchy
from monochord.targets._host import HostModel, HostTarget, host_target, raise_failure
from monochord.targets._labels import Labels
from monochord.targets._lanes import calls_back, lanes, takes_turns
from monochord.targets._numpy import numpy_target
from monochord.targets._numpyro import NumPyroTarget, numpyro_target
from monochord.targets._wrapped import AbstractWrapped

__all__ = [
    "AbstractTarget",
    "AbstractWrapped",
    "CallableTarget",
    "Evaluations",
    "Finding",
    "Findings",
    "Hierarchy",
    "HostModel",
    "HostTarget",
    "Labels",
    "NumPyroTarget",
    "callable_target",
    "calls_back",
    "check_signature",
    "check_target",
    "constrain_draws",
    "evaluate",
    "examine",
    "hessian_products",
    "hessians",
    "host_target",
    "idle_lanes",
    "join",
    "lanes",
    "make_target",
    "numpy_target",
    "numpyro_target",
    "output_name",
    "scalar_names",
    "raise_failure",
    "refused",
    "running",
    "takes_turns",
    "with_data",
]
