"""Batches of log densities and scores through one compiled function of one shape, counted."""

import contextlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.compiling import compiled
from monochord.errors import ModelError, MonochordError
from monochord.targets._base import AbstractTarget
from monochord.targets._host import CUBE_ROOT_OF_EPSILON, HostTarget
from monochord.targets._lanes import lanes

LANES = 8  # points evaluated side by side: measured best for data matrices, at no loss for small models
CAPACITY = 64  # points in one call


class Evaluations(NamedTuple):
    """Points with their log densities and scores, NumPy float64."""

    x: Float[np.ndarray, "n dim"]
    log_density: Float[np.ndarray, " n"]
    score: Float[np.ndarray, "n dim"]

    def finite(self) -> np.ndarray:
        """Mask of points whose log density and score are finite."""
        return np.isfinite(self.log_density) & np.all(np.isfinite(self.score), axis=1)

    def take(self, index) -> "Evaluations":
        """The selected points."""
        return Evaluations(self.x[index], self.log_density[index], self.score[index])


def join(parts: list[Evaluations]) -> Evaluations:
    """All points of several batches, in order."""
    return Evaluations(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


@compiled()
def _evaluate(target: AbstractTarget, points, num_chunks):
    """Values and scores of `num_chunks` groups of `LANES` points out of a padded (CAPACITY, dim) array."""
    value_and_score = lanes(jax.value_and_grad(target.log_density))

    def chunk(index, carry):
        values, scores = carry
        start = index * LANES
        value, score = value_and_score(jax.lax.dynamic_slice_in_dim(points, start, LANES))
        values = jax.lax.dynamic_update_slice_in_dim(values, value.astype(points.dtype), start, 0)
        scores = jax.lax.dynamic_update_slice_in_dim(scores, score.astype(points.dtype), start, 0)
        return values, scores

    empty = (jnp.full(points.shape[0], -jnp.inf, points.dtype), jnp.zeros_like(points))
    return jax.lax.fori_loop(0, num_chunks, chunk, empty)


@contextlib.contextmanager
def running():
    """Turn what a compiled function raises, such as an exception of a callback, into a `ModelError` with its last line."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if isinstance(error, MonochordError) or not (
            isinstance(error, jax.errors.JaxRuntimeError) or "CpuCallback" in str(error)
        ):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"the model raised while it was evaluated: {lines[-1][:300] if lines else type(error).__name__}. A chain cannot go on "
            "from there. Return −inf where the density is zero, and mend what the line names."
        ) from error


def evaluate(target: AbstractTarget, x: Float[Array, "n dim"]) -> Evaluations:
    """Log densities and scores at `n` unconstrained points: `n` gradient evaluations.

    One function is compiled for each target structure, whatever `n` is; lanes beyond `n` in the last
    group idle (at most LANES - 1): `idle_lanes` says how many. A host target is called in threads, and no lane idles.

    **Raises** `ModelError` where the model raised while it ran.
    """
    x = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if isinstance(target, HostTarget):
        return Evaluations(x, *target.evaluate_on_host(x))
    if isinstance(target.host, HostTarget):
        return _evaluate_along(target, target.host, x)
    values, scores = [], []
    for start in range(0, len(x), CAPACITY):
        part = x[start : start + CAPACITY]
        padded = np.zeros((CAPACITY, x.shape[1]))
        padded[: len(part)] = part
        padded[len(part) :] = part[-1]
        with running():
            value, score = _evaluate(target, padded, -(-len(part) // LANES))
            values.append(np.asarray(value, dtype=np.float64)[: len(part)])
            scores.append(np.asarray(score, dtype=np.float64)[: len(part)])
    return Evaluations(x, np.concatenate(values), np.concatenate(scores))


@compiled()
def _moved(target: AbstractTarget, points):
    return lanes(target.moved)(points)


@compiled()
def _pulled(target: AbstractTarget, points, scores):
    def pull(x, score):
        (_, log_det), back = jax.vjp(target.moved, x)
        return back((score, jnp.ones_like(log_det)))[0]

    return lanes(pull)(points, scores)


def _evaluate_along(target: AbstractTarget, host: HostTarget, x: Float[np.ndarray, "n dim"]) -> Evaluations:
    """Of a target along a map: JAX moves the points, and pulls back the scores that threads computed."""
    values, scores = [], []
    for start in range(0, len(x), CAPACITY):
        part = x[start : start + CAPACITY]
        padded = np.concatenate([part, np.repeat(part[-1:], CAPACITY - len(part), axis=0)])
        points, log_dets = (np.asarray(one, np.float64)[: len(part)] for one in _moved(target, padded))
        value, score = host.evaluate_on_host(points)
        whole = np.concatenate([score, np.zeros((CAPACITY - len(part), host.dim))])
        values.append(value + log_dets)
        scores.append(np.asarray(_pulled(target, padded, whole), np.float64)[: len(part)])
    return Evaluations(x, np.concatenate(values), np.concatenate(scores))


def idle_lanes(num_points: int) -> int:
    """Lanes that `evaluate` leaves idle for `num_points` points."""
    return -num_points % LANES


@compiled()
def _hessian(target: AbstractTarget, x):
    score = jax.grad(target.log_density)
    directions = jnp.eye(x.shape[0], dtype=x.dtype)
    return -lanes(lambda v: jax.jvp(score, (x,), (v,))[1], batch_size=32)(directions)


def hessians(target: AbstractTarget, x: Float[Array, "n dim"]) -> Float[np.ndarray, "n dim dim"]:
    """Hessians of the potential −log density at `n` points: 2·n·dim gradient evaluations."""
    if target.host is not None:
        return _hessians_on_host(target, np.asarray(x, np.float64))
    full = np.stack([np.asarray(_hessian(target, point), dtype=np.float64) for point in np.asarray(x)])
    return (full + np.swapaxes(full, 1, 2)) / 2


def _hessians_on_host(target: AbstractTarget, x: np.ndarray) -> np.ndarray:
    count, dim = x.shape
    rows = hessian_products(target, np.repeat(x, dim, axis=0), np.tile(np.eye(dim), (count, 1)))
    full = rows.reshape(count, dim, dim)
    return (full + np.swapaxes(full, 1, 2)) / 2


@compiled()
def _products(target: AbstractTarget, points, vectors, num_chunks):
    """Products with the potential's Hessian in groups of `LANES`, laid out as in `_evaluate`."""
    score = jax.grad(target.log_density)
    product = lanes(lambda x, v: -jax.jvp(score, (x,), (v,))[1])

    def chunk(index, out):
        start = index * LANES
        part = (jax.lax.dynamic_slice_in_dim(a, start, LANES) for a in (points, vectors))
        return jax.lax.dynamic_update_slice_in_dim(out, product(*part).astype(points.dtype), start, 0)

    return jax.lax.fori_loop(0, num_chunks, chunk, jnp.zeros_like(points))


def hessian_products(
    target: AbstractTarget, x: Float[Array, "n dim"], v: Float[Array, "n dim"]
) -> Float[np.ndarray, "n dim"]:
    """H(xᵢ)vᵢ, H the Hessian of the potential −log density: 2·n gradient evaluations.

    One function is compiled for each target structure, whatever `n` is.
    """
    x, v = np.asarray(x, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if isinstance(target, HostTarget):
        return -target.products_on_host(x, v)
    if target.host is not None:
        return _differences(target, x, v)
    parts = []
    for start in range(0, len(x), CAPACITY):
        count = len(x[start : start + CAPACITY])
        points = np.repeat(x[start : start + 1], CAPACITY, axis=0)
        vectors = np.zeros_like(points)
        points[:count], vectors[:count] = x[start : start + CAPACITY], v[start : start + CAPACITY]
        out = _products(target, points, vectors, -(-count // LANES))
        parts.append(np.asarray(out, dtype=np.float64)[:count])
    return np.concatenate(parts)


def _differences(target: AbstractTarget, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "n dim"]:
    """Products along a map of a host target, by central differences of scores in steps as those of `HostModel.product`."""
    length = np.linalg.norm(v, axis=1, keepdims=True)
    step = CUBE_ROOT_OF_EPSILON / np.sqrt(np.where(length > 0.0, length, 1.0))
    up, down = np.split(evaluate(target, np.concatenate([x + step * v, x - step * v])).score, 2)
    return (down - up) / (2.0 * step)


@compiled()
def _constrain(target: AbstractTarget, points):
    return lanes(target.constrain)(points)


def constrain_draws(target: AbstractTarget, x: Float[Array, "n dim"]) -> dict[str, np.ndarray]:
    """The user's quantities at `n` unconstrained points, leading axis `n`; one compiled shape for all `n`."""
    x = np.asarray(x)
    if isinstance(target.host, HostTarget) and target.host.dim == target.dim:
        return target.host.constrain_on_host(target.to_unconstrained(x))
    rows = max(1, min(256, 4_000_000 // max(1, x.shape[1])))
    parts = []
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        padded = np.concatenate([part, np.repeat(part[-1:], rows - len(part), axis=0)])
        values = _constrain(target, padded)
        parts.append({name: np.asarray(value)[: len(part)] for name, value in values.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
