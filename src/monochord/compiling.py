"""`compiled`: `jax.jit` with the compiler options that serve a user who waits for a small model.

Most of the cold seconds of a small model are XLA's, and a third of those are its newer emitters of fused loops for CPUs.
Without them our programs compile in two thirds of the time and run as fast (`benchmarks/compile_time.py` has rows).
"""

from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any, final

import jax
from jax.core import Tracer

CPU_OPTIONS = {"xla_cpu_use_fusion_emitters": False}


@cache
def compiler_options(backend: str) -> dict[str, Any] | None:
    """Options for `backend`; None where there are none, or this version of JAX does not know them."""
    if backend != "cpu":
        return None
    try:
        jax.jit(lambda: 0.0, compiler_options=CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return CPU_OPTIONS


@final
class Compiled:
    """A function compiled at its first call, like one of `jax.jit`; inside another traced function it is a part of that."""

    def __init__(self, function: Callable, **static: Any):
        self._function, self._static = function, static
        self._programs: dict[str, Any] = {}
        self._inner = jax.jit(function, **static)
        update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        # JAX takes options of the outermost function alone
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        return (self._inner if traced else self.program)(*args, **kwargs)

    @property
    def program(self):
        """The function of `jax.jit` for the backend in use, which also lowers and counts what it compiled."""
        backend = jax.default_backend()
        if backend not in self._programs:
            options = compiler_options(backend)
            self._programs[backend] = jax.jit(self._function, compiler_options=options, **self._static)
        return self._programs[backend]


def compiled(**static: Any) -> Callable[[Callable], Compiled]:
    """Decorator: `compiled(static_argnames="spec")`, with the arguments of `jax.jit`."""
    return lambda function: Compiled(function, **static)
