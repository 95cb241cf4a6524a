"""Batches of log densities and scores through one compiled function of one shape, counted."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.targets._base import AbstractTarget

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


@jax.jit
def _evaluate(target: AbstractTarget, points, num_chunks):
    """Values and scores of `num_chunks` groups of `LANES` points out of a padded (CAPACITY, dim) array."""
    lanes = jax.vmap(jax.value_and_grad(target.log_density))

    def chunk(index, carry):
        values, scores = carry
        start = index * LANES
        value, score = lanes(jax.lax.dynamic_slice_in_dim(points, start, LANES))
        values = jax.lax.dynamic_update_slice_in_dim(values, value.astype(points.dtype), start, 0)
        scores = jax.lax.dynamic_update_slice_in_dim(scores, score.astype(points.dtype), start, 0)
        return values, scores

    empty = (jnp.full(points.shape[0], -jnp.inf, points.dtype), jnp.zeros_like(points))
    return jax.lax.fori_loop(0, num_chunks, chunk, empty)


def evaluate(target: AbstractTarget, x: Float[Array, "n dim"]) -> Evaluations:
    """Log densities and scores at `n` unconstrained points: `n` gradient evaluations.

    One function is compiled for each target structure, whatever `n` is; lanes beyond `n` in the last
    group idle (at most LANES - 1): `idle_lanes` says how many.
    """
    x = np.atleast_2d(np.asarray(x, dtype=np.float64))
    values, scores = [], []
    for start in range(0, len(x), CAPACITY):
        part = x[start : start + CAPACITY]
        padded = np.zeros((CAPACITY, x.shape[1]))
        padded[: len(part)] = part
        padded[len(part) :] = part[-1]
        value, score = _evaluate(target, padded, -(-len(part) // LANES))
        values.append(np.asarray(value, dtype=np.float64)[: len(part)])
        scores.append(np.asarray(score, dtype=np.float64)[: len(part)])
    return Evaluations(x, np.concatenate(values), np.concatenate(scores))


def idle_lanes(num_points: int) -> int:
    """Lanes that `evaluate` leaves idle for `num_points` points."""
    return -num_points % LANES


@jax.jit
def _hessian_vector(target: AbstractTarget, x, vectors):
    score = jax.grad(target.log_density)
    return jax.lax.map(lambda v: -jax.jvp(score, (x,), (v,))[1], vectors)


def hessian_vector_products(
    target: AbstractTarget, x: Float[Array, " dim"], vectors: Float[Array, "n dim"]
) -> Float[np.ndarray, "n dim"]:
    """Products Hv of the potential's Hessian at one point: 2n gradient evaluations."""
    return np.asarray(_hessian_vector(target, np.asarray(x), np.asarray(vectors)), dtype=np.float64)


@jax.jit
def _constrain(target: AbstractTarget, points):
    return jax.lax.map(target.constrain, points)


def constrain_draws(target: AbstractTarget, x: Float[Array, "n dim"]) -> dict[str, np.ndarray]:
    """The user's quantities at `n` unconstrained points, leading axis `n`."""
    return {name: np.asarray(value) for name, value in _constrain(target, np.asarray(x)).items()}
