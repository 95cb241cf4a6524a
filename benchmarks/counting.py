"""One counter of gradients for every method, at the log density itself.

`counted(log_density, counter)` is the same function, and every evaluation that really runs adds to
`counter`, inside compiled loops too: one for a value, one for a value with its gradient, two for a
Hessian-vector product, and one for each lane of a vectorised call. A lane that idles in a vectorised loop runs
too and is counted with the others: run chains one by one, or subtract the lanes that the engine says it wasted.
"""

import ctypes
import itertools
import threading
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

Params = dict[str, jax.Array]


class Counter:
    """A number of evaluations, safe to raise from several threads."""

    def __init__(self):
        self.total = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Raise the total by `count`."""
        with self._lock:
            self.total += count


def counted(log_density: Callable[..., jax.Array], counter: Counter) -> Callable[..., jax.Array]:
    """`log_density(params, **data)` that adds its evaluations to `counter`.

    `params` pass through an identity that carries the count, so derivatives are those of `log_density`.
    The count hangs on the values (a zero that only the callback knows): what the compiler drops is not
    counted, and `counter.total` is right once the results have arrived. Reverse mode over another derivative raises.
    """

    def log_density_counted(params: Params, **data) -> jax.Array:
        return log_density(_identity(counter, 0)(params), **data)

    return log_density_counted


@cache
def _identity(counter: Counter, order: int) -> Callable[[Params], Params]:
    """The identity on pytrees, told how often it has been differentiated.

    At `order` 0 (a value) and 1 (a value with its gradient) it adds one. Differentiated again, each tangent
    adds two, so a Hessian from d directions costs 2d although they share one point, and one direction at n points 2n.
    """

    @jax.custom_jvp
    def identity(params):
        return _tick(params, counter, 1) if order < 2 else params

    @identity.defjvp
    def _(primals, tangents):
        tangent = tangents[0] if order == 0 else _tick(tangents[0], counter, 2, beside=primals[0])
        return _identity(counter, min(order + 1, 2))(primals[0]), tangent

    return identity


def _tick(tree, counter: Counter, count: int, beside=None):
    """`tree`, whose use adds `count` to `counter`: in each lane in which any leaf, of `beside` too, may be another."""
    entries = [jnp.ravel(leaf)[0] for leaf in jax.tree.leaves((tree, beside)) if jnp.size(leaf)]
    zero = _zero(counter, count)(*entries)
    return jax.tree.map(lambda leaf: leaf + zero.astype(jnp.result_type(leaf)), tree)


@cache
def _zero(counter: Counter, count: int) -> Callable[..., jax.Array]:
    """A function that returns zero and adds `count` when it runs; vectorised, `count` for each lane."""
    call = _native_call(counter, count) if jax.default_backend() == "cpu" else _portable_call(counter, count)

    @custom_vmap
    def zero(*entries):
        return call(sum(entry.astype(jnp.float32) for entry in entries))

    @zero.def_vmap
    def _(axis_size, in_batched, *entries):
        first = [entry[0] if is_batched else entry for entry, is_batched in zip(entries, in_batched, strict=True)]
        return jnp.broadcast_to(_zero(counter, count * axis_size)(*first), (axis_size,)), True

    return zero


def _portable_call(counter: Counter, count: int) -> Callable[[jax.Array], jax.Array]:
    """Through JAX's own callback: 50 microseconds a call."""

    def add(_):
        counter.add(count)
        return np.float32(0.0)

    return lambda entry: jax.pure_callback(add, jax.ShapeDtypeStruct((), np.float32), entry)


_NATIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_UNIFIED_ABI = 3  # XLA's custom call (result, operands, options, length, status)
_serial = itertools.count()
_kept_alive: list = []  # compiled programs hold bare pointers to these


def _native_call(counter: Counter, count: int) -> Callable[[jax.Array], jax.Array]:
    """Through a C function pointer: one microsecond a call, so that cheap densities can be counted too."""

    def add(result, operands, options, length, status):
        ctypes.memset(result, 0, 4)
        counter.add(count)

    pointer = _NATIVE(add)
    _kept_alive.append(pointer)
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = f"benchmarks_count_{next(_serial)}"
    capsule = new_capsule(ctypes.cast(pointer, ctypes.c_void_p), None, None)
    jax.ffi.register_ffi_target(name, capsule, platform="cpu", api_version=0)
    result = jax.ShapeDtypeStruct((), np.float32)
    return jax.ffi.ffi_call(name, result, custom_call_api_version=_UNIFIED_ABI)
