"""`PyMCTarget`: a PyMC model on PyMC's own unconstrained coordinates, compiled by PyTensor for JAX."""

import os
from collections.abc import Callable, Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.errors import ModelError
from monochord.targets._base import (
    AbstractTarget,
    check_names,
    cut,
    evaluating,
    reported_shapes,
    scalar_names,
    with_data,
)
from monochord.targets._labels import Labels, Unseen


@final
class PyMCTarget(AbstractTarget):
    """A `pymc.Model`. Build it with `pymc_target`.

    Coordinates are PyMC's value variables (`tau_log__` for a positive `tau`), in its order, and the centre is its initial
    point. `pm.Data` and observed arrays are data of the target: others of the same shape compile nothing.
    Free variables and deterministics are part of `constrain`.
    """

    center: Float[Array, " dim"]
    traced_data: dict[str, Any]
    static_data: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    dtypes: tuple[tuple[str, str], ...] = eqx.field(static=True)  # of the data, as the model declares them
    density: Callable = eqx.field(static=True)
    quantities: Callable = eqx.field(static=True)
    finish: Callable = eqx.field(static=True)  # from PyMC's quantities to those reported
    model: Unseen = eqx.field(static=True)
    translation: Unseen = eqx.field(static=True)  # makes further functions of the same arguments
    labels: Labels = eqx.field(static=True)

    def log_density(self, x):
        with evaluating(self.model.value):
            return jnp.reshape(self.density(*self._arguments(x))[0], ())

    def constrain(self, x):
        with evaluating(self.model.value):
            values = self.quantities(*self._arguments(x))
            names = (variable.name for variable in self.model.value.unobserved_RVs)
            return self.finish({name: jnp.asarray(value) for name, value in zip(names, values, strict=True)})

    def observed_data(self):
        model = self.model.value
        return {rv.name: np.asarray(self.traced_data[_data_name(model, rv)]) for rv in model.observed_RVs}

    def constant_data(self):
        observed = {_data_name(self.model.value, rv) for rv in self.model.value.observed_RVs}
        return {name: np.asarray(value) for name, value in self.traced_data.items() if name not in observed}

    def hierarchies(self):
        from monochord.targets._pymc_hierarchies import pymc_hierarchies

        return pymc_hierarchies(self.model.value)

    def completed(self, data):
        return {**self.traced_data, **data}

    def group(self, group, x, key):
        from monochord.targets._pymc_groups import pymc_group

        return pymc_group(self, group, x, key)

    def _arguments(self, x):
        data = [jnp.asarray(self.traced_data[name], dtype) for name, dtype in self.dtypes]
        return (*cut(jnp.asarray(x), self.shapes), *data)


def pymc_target(
    model: Any,
    data: Mapping[str, Any] | None = None,
    labels: Labels | None = None,
    finish: Callable | None = None,
    title: str = "the PyMC model",
) -> PyMCTarget:
    """Target from a `pymc.Model`; `data` replace the contents of its `pm.Data` and observed arrays, shapes unchanged.

    JAX's 64-bit mode comes on with PyTensor's `floatX`.

    **Raises** `ModelError` for discrete free variables, a model without free variables, and operations that PyTensor
    cannot translate to JAX; `DataError` for data that do not fit.
    """
    _check(model, title)
    point = {name: np.asarray(value, np.float64) for name, value in model.initial_point().items()}
    variables = [variable.name for variable in model.value_vars]
    traced = _data_of(model)
    translate = _Translation(model, point, traced, title)
    names = tuple(entry for name in variables for entry in scalar_names(name, point[name].shape))
    coords = {name: values for name, values in model.coords.items() if values is not None}
    labels = labels or Labels()
    target = PyMCTarget(
        center=np.concatenate([point[name].ravel() for name in variables]),
        traced_data=traced,
        static_data=(),
        names=names,
        shapes=tuple(point[name].shape for name in variables),
        dtypes=tuple((name, str(array.dtype)) for name, array in traced.items()),
        density=translate([model.logp()]),
        quantities=translate(model.replace_rvs_by_values(model.unobserved_RVs)),
        finish=finish or dict,
        model=Unseen(model),
        translation=Unseen(translate),
        labels=Labels({**coords, **labels.coords}, {**_dims_of(model), **labels.dims}),
    )
    shapes = reported_shapes(target)
    check_names(shapes)
    labels.check(shapes | {name: value.shape for name, value in target.observed_data().items()})
    return target if not data else with_data(target, data)


def _check(model, title: str) -> None:
    if not model.value_vars:
        raise ModelError(f"{title} has no free variables. There is nothing to sample. Add one without `observed=`.")
    discrete = [variable.name for variable in model.discrete_value_vars]
    if discrete:
        raise ModelError(
            f"{title} has the discrete free variables {', '.join(discrete)}. Hamiltonian samplers need gradients, which they "
            "lack. Sum them out (`pm.Mixture`, or `pymc_extras.marginalize`), or use PyMC's own samplers."
        )


def _data_variables(model) -> dict[str, Any]:
    """What holds the data, by name: shared variables of `pm.Data`, constants of observed arrays."""
    held = {variable.name: variable for variable in model.data_vars}
    for variable in model.observed_RVs:
        held.setdefault(_data_name(model, variable), _source(model.rvs_to_values[variable]))
    return held


def _data_name(model, variable) -> str:
    """The name under which the data observed at a variable are held."""
    return _source(model.rvs_to_values[variable]).name or variable.name


def _source(variable):
    while variable.owner is not None and len(variable.owner.inputs) == 1:  # a change of type
        variable = variable.owner.inputs[0]
    return variable


def _data_of(model) -> dict[str, np.ndarray]:
    arrays = {}
    for name, variable in _data_variables(model).items():
        if hasattr(variable, "get_value"):
            arrays[name] = np.array(variable.get_value())
        elif hasattr(variable, "data"):
            arrays[name] = np.array(variable.data)
    return arrays


def _dims_of(model) -> dict[str, list[str]]:
    return {
        name: [str(axis) for axis in axes]
        for name, axes in model.named_vars_to_dims.items()
        if all(axis is not None for axis in axes)
    }


class _Translation:
    """PyTensor expressions of a model as JAX functions of its value variables and its data.

    Data become inputs, of the static shapes that they have, and what else is shared becomes constant.
    """

    def __init__(self, model, point: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray], title: str):
        self.model, self.title = model, title
        self.inputs = [
            variable.type.clone(shape=point[variable.name].shape)(variable.name) for variable in model.value_vars
        ]
        self.replaced = dict(zip(model.value_vars, self.inputs, strict=True))
        sources = _data_variables(model)
        for name, array in data.items():
            self.inputs.append(sources[name].type.clone(shape=array.shape)(name))
            self.replaced[sources[name]] = self.inputs[-1]

    def __call__(self, outputs: list[Any]) -> Callable:
        from pytensor.compile.mode import JAX
        from pytensor.compile.sharedvalue import SharedVariable
        from pytensor.graph.fg import FunctionGraph
        from pytensor.graph.replace import clone_replace
        from pytensor.tensor.basic import as_tensor_variable

        jax_funcify, graph_inputs = _jax_funcify(), _graph_inputs()
        shared = [v for v in graph_inputs(outputs) if isinstance(v, SharedVariable) and v not in self.replaced]
        updated = [v for v in shared if v.default_update is not None or not hasattr(v.type, "shape")]
        if updated:
            raise ModelError(
                f"{self.title} draws {updated[0]} anew at each evaluation (a minibatch or a random stream). A density must not "
                "change between calls. Use the whole data."
            )
        constants = {v: as_tensor_variable(v.get_value(borrow=True), name=v.name) for v in shared}
        try:
            graph = clone_replace(outputs, replace={**constants, **self.replaced})
            function_graph = FunctionGraph(inputs=self.inputs, outputs=graph, clone=True)
            JAX.optimizer.rewrite(function_graph)  # pyright: ignore[reportAttributeAccessIssue]
            return jax_funcify(function_graph)
        except NotImplementedError as error:
            raise ModelError(
                f"{self.title} uses an operation that PyTensor {_version('pytensor')} cannot translate to JAX ({error}). Its density and "
                "gradient are compiled by JAX here. Replace the operation, or pass PyMC's compiled functions as a pair "
                "(log_density, gradient)."
            ) from error


def _graph_inputs():
    try:
        from pytensor.graph.traversal import graph_inputs
    except ImportError:  # older PyTensor keeps it elsewhere
        from pytensor.graph.basic import graph_inputs  # pyright: ignore[reportAttributeAccessIssue]
    return graph_inputs


def _jax_funcify():
    """PyTensor's translation, with what PyMC adds to it.

    PyMC's module asks XLA for 100 CPU devices by an environment variable; it is put back before JAX can read it.
    """
    jax.devices()
    flags = os.environ.get("XLA_FLAGS")
    try:
        import pymc.sampling.jax  # noqa: F401
    finally:
        os.environ.pop("XLA_FLAGS", None)
        if flags is not None:
            os.environ["XLA_FLAGS"] = flags
    from pytensor.link.jax.dispatch.basic import jax_funcify

    return jax_funcify


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
