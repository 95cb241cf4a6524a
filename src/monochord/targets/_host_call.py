"""Calls of Python functions out of compiled programs, without the deadlock of `jax.pure_callback`.

`jax.pure_callback` turns its operands into JAX arrays inside the callback. On CPU that waits for the thread pool
that the callbacks themselves occupy: with several chains at once and 20,000 coordinates it stands still for ever
(reported as jax-ml/jax 24255 and 25861). The primitive here is lowered to the same custom call, but hands over NumPy
views: nothing waits, and a call costs a tenth.
"""

import itertools
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

_handles = itertools.count(1)
_models: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def register(model) -> int:
    """A number by which compiled programs find `model` for as long as it lives."""
    handle = next(_handles)
    _models[handle] = model
    return handle


def host_call(method: str, handle, *arrays, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    """``model.method(*arrays)`` of the registered model, results of `shapes` and of the operands' float type.

    Under `vmap` it is called row by row.
    """
    return host_call_p.bind(handle, *arrays, method=method, shapes=shapes)


def _call(method: str, shapes, handle, *arrays) -> tuple[np.ndarray, ...]:
    dtype = arrays[0].dtype
    # copies: the views end with the call, and a model may keep or change what it is given
    given = [np.array(array, dtype=np.float64) for array in arrays]
    results = getattr(_models[int(handle)], method)(*given)
    return tuple(np.asarray(result, dtype=dtype).reshape(shape) for result, shape in zip(results, shapes, strict=True))


host_call_p = Primitive("monochord_host_call")
host_call_p.multiple_results = True


@host_call_p.def_impl
def _evaluate(handle, *arrays, method, shapes):
    return [jnp.asarray(out) for out in _call(method, shapes, handle, *(np.asarray(array) for array in arrays))]


@host_call_p.def_abstract_eval
def _abstract(handle, *arrays, method, shapes):
    return [arrays[0].update(shape=shape) for shape in shapes]


def _lower(context, *operands, method, shapes):
    def call(*values):
        return _call(method, shapes, *values)

    results, _, _ = mlir.emit_python_callback(
        context, call, None, list(operands), context.avals_in, context.avals_out, has_side_effect=False, returns_token=False
    )  # fmt: skip
    return results


def _batch(arguments, axes, *, method, shapes):
    size = next(value.shape[axis] for value, axis in zip(arguments, axes, strict=True) if axis is not None)
    rows = [
        jnp.broadcast_to(value, (size, *jnp.shape(value))) if axis is None else jnp.moveaxis(value, axis, 0)
        for value, axis in zip(arguments, axes, strict=True)
    ]
    results = jax.lax.map(lambda row: tuple(host_call_p.bind(*row, method=method, shapes=shapes)), tuple(rows))
    return results, [0] * len(results)


mlir.register_lowering(host_call_p, _lower)
batching.primitive_batchers[host_call_p] = _batch
