"""The block of HMC compiled while the fit is still at work: with two cores nobody waits for both."""

import threading
from typing import Any

import jax
import numpy as np

from monochord.arrays import Key, fold_key
from monochord.metrics import AbstractMetric
from monochord.sampling._blackjax import BlockSpec, Position, plain_numbers, run_block
from monochord.sampling._chains import block_capacity, is_vectorised
from monochord.sampling._threads import usable_cores
from monochord.targets import AbstractTarget


class Ahead:
    """One program, compiled in a thread of its own.

    It is traced here and now, in the caller's thread: models may keep state while they are traced. Whatever goes wrong
    in compiling is left to the call that needs the program.
    """

    def __init__(self, target: AbstractTarget, metric: AbstractMetric, key: Key, spec: BlockSpec):
        self._spec, self._kind, self._program = spec, type(metric), None
        position: Any = Position(np.zeros(target.dim), np.zeros(()), np.zeros(target.dim))
        lowered = run_block.program.lower(target, metric, position, key, *plain_numbers(0, 0, 1.0, 1.0, 0.5), spec=spec)
        # no daemon: a process that ends meanwhile waits for the compiler, which does not survive being cut off
        self._thread = threading.Thread(target=self._compile, args=(lowered,))
        self._thread.start()

    def _compile(self, lowered) -> None:
        try:
            self._program = lowered.compile()
        except Exception:  # noqa: BLE001  # whatever it is, the block's own call meets it where somebody listens
            return

    def program(self, metric: AbstractMetric, spec: BlockSpec):
        """The compiled block where it is for `spec` and metrics like `metric`; None otherwise."""
        if spec != self._spec or type(metric) is not self._kind:
            return None
        import xarray  # noqa: F401  # which the output would wait for; the compiler is still at work

        self._thread.join()
        return self._program


def compile_ahead(
    target: AbstractTarget, metric: AbstractMetric, key: Key, max_tree_depth: int, chain_method: str
) -> Ahead | None:
    """Begin to compile HMC under metrics like `metric`; None where that would gain nothing: one core, an accelerator, lanes,
    a model outside JAX, or single precision.
    """
    is_of_use = (
        usable_cores() > 1 and jax.default_backend() == "cpu" and jax.dtypes.canonicalize_dtype(float) == np.float64
    )
    if not is_of_use or target.host is not None or is_vectorised(target, chain_method):
        return None
    return Ahead(target, metric, fold_key(key, 0), BlockSpec("hmc", block_capacity(target.dim, 1), max_tree_depth))
