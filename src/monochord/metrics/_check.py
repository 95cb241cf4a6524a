"""Shape and value checks shared by the public constructors of metrics."""

import numpy as np
from jax.core import Tracer


def is_traced(array) -> bool:
    """True inside a JAX transformation, where values cannot be looked at (nor pytree placeholders)."""
    return isinstance(array, Tracer) or not hasattr(array, "shape")


def check_vector(array, name: str):
    """`array` as float64 if it came as Python numbers; must have one axis."""
    if not hasattr(array, "shape"):
        array = np.asarray(array, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(
            f"`{name}` has shape {tuple(array.shape)}. One number for each unconstrained coordinate "
            "is wanted. Pass an array with one axis."
        )
    return array


def check_positive(call: str, array):
    """All entries must be finite and above zero, where they can be seen."""
    if not is_traced(array):
        values = np.asarray(array)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            index = int(bad[0])
            raise ValueError(
                f"`{call}` has the entry {values.flat[index]} at index {index}. A metric is a "
                "covariance, so scales and eigenvalues are finite and above zero. Drop or repair it."
            )
    return array
