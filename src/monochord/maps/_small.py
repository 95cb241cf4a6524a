"""Cholesky factors of many small matrices, and what they solve: written out where they are narrow, by LAPACK where they are wide.

On the CPU, LAPACK called on many matrices splits them over XLA's pool of threads, and waits there: two calls at once wait for ever in a pool of two
(jaxlib 0.10, `ParallelBatchMap`). It does not split what is little work, so wide ones go to it a few at a time. Under `jax.vmap` that is undone: `lanes` maps such
functions one point after the other.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np

from monochord.arrays import Array

UNROLLED = 6  # width up to which a factorisation written out column by column is cheaper than a call for each block
AT_ONCE = 100_000  # multiplications, half of what LAPACK's kernels split


def is_narrow(*widths: int) -> bool:
    """Whether matrices so wide never come to LAPACK."""
    return max(widths) <= UNROLLED


def _by_lapack(call: Callable, *arrays: Array) -> Array:
    """`call` on matrices, and on right sides where there are some."""
    width, leading = arrays[0].shape[-1], arrays[0].shape[:-2]
    few, count = max(1, AT_ONCE // (width**2 * max(width, arrays[-1].shape[-1]))), math.prod(leading)
    if count <= few or jax.default_backend() != "cpu":
        return call(*arrays)
    rows = tuple(array.reshape(count, *array.shape[-2:]) for array in arrays)
    found = jax.lax.map(lambda one: call(*one), rows, batch_size=few)
    return found.reshape(*leading, *found.shape[-2:])


def factored(precision):
    """Lower Cholesky factors of many small matrices."""
    width = precision.shape[-1]
    if isinstance(precision, np.ndarray):
        try:
            return np.linalg.cholesky(precision)
        except np.linalg.LinAlgError:  # of one of them: the others count
            rows = [_factor_of_one(one) for one in precision.reshape(-1, width, width)]
            return np.array(rows).reshape(precision.shape)
    if width > UNROLLED:
        return _by_lapack(jnp.linalg.cholesky, precision)
    entries: dict[tuple[int, int], Array] = {}
    for j in range(width):
        pivot = precision[..., j, j] - sum((entries[j, k] ** 2 for k in range(j)), jnp.zeros((), precision.dtype))
        entries[j, j] = jnp.sqrt(pivot)
        for i in range(j + 1, width):
            left = precision[..., i, j] - sum(
                (entries[i, k] * entries[j, k] for k in range(j)), jnp.zeros((), precision.dtype)
            )
            entries[i, j] = left / entries[j, j]
    zero = jnp.zeros_like(precision[..., 0, 0])
    rows = [jnp.stack([entries.get((i, j), zero) for j in range(width)], axis=-1) for i in range(width)]
    return jnp.stack(rows, axis=-2)


def _factor_of_one(precision):
    try:
        return np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        return np.full_like(precision, np.nan)


def solved(factor, right):
    """C⁻¹ r."""
    if isinstance(factor, np.ndarray):
        return np.linalg.solve(factor, right[..., None])[..., 0]
    width = factor.shape[-1]
    if width > UNROLLED:
        return solved_columns(factor, right[..., None])[..., 0]
    found: list[Array] = []
    for i in range(width):
        left = right[..., i] - sum((factor[..., i, k] * found[k] for k in range(i)), jnp.zeros((), right.dtype))
        found.append(left / factor[..., i, i])
    return jnp.stack(found, axis=-1)


def solved_turned(factor, right):
    """C⁻ᵀ r."""
    if isinstance(factor, np.ndarray):
        return np.linalg.solve(np.swapaxes(factor, -1, -2), right[..., None])[..., 0]
    width = factor.shape[-1]
    if width > UNROLLED:
        return _by_lapack(_turned, factor, right[..., None])[..., 0]
    found: dict[int, Array] = {}
    for i in range(width - 1, -1, -1):
        left = right[..., i] - sum(
            (factor[..., k, i] * found[k] for k in range(i + 1, width)), jnp.zeros((), right.dtype)
        )
        found[i] = left / factor[..., i, i]
    return jnp.stack([found[i] for i in range(width)], axis=-1)


def solved_columns(factor, right):
    """C⁻¹ K, a column of K at a time."""
    if not right.shape[-1]:
        return right
    if isinstance(factor, np.ndarray):
        return np.linalg.solve(factor, right)
    if factor.shape[-1] > UNROLLED:
        return _by_lapack(_straight, factor, right)
    return jnp.stack([solved(factor, right[..., j]) for j in range(right.shape[-1])], axis=-1)


def _straight(factor, right):
    return jax.scipy.linalg.solve_triangular(factor, right, lower=True)


def _turned(factor, right):
    return jax.scipy.linalg.solve_triangular(factor, right, lower=True, trans=1)
