"""Simulation-based calibration of one kernel under one metric, all replications in one compiled program.

Each replication draws x from the prior and data given x: x is then an exact draw of the posterior of those data.
x is put at a random place among L draws of one stationary chain: the chain runs from x in both directions in time, which
for a reversible kernel is the same program twice (Gandy & Scott 2020, arXiv 2001.06465, section 3.2). The rank of x
among the draws is then uniform exactly, whatever the autocorrelation; thinning only adds power.
"""

from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from monochord.arrays import host_generator
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.sampling._blackjax import BlockSpec, Position, run_block
from tests.statistical.models import Model

NUM_DRAWS, THIN = 15, 4
BATCH = 125  # replications side by side: fewer wait less for the deepest tree
TUNING = {"nuts": (0.7, 1.5), "hmc": (0.5, 1.6)}  # step size and trajectory length under a metric that fits roughly


def simulated_ranks(model: Model, kernel: str, metric, key, num: int, *, truth: Model | None = None, **options):
    """Ranks (num, dim + 1) of each coordinate and of the log density, and the share of transitions that moved.

    `truth` draws x and data in the place of `model`: they differ in negative controls alone. `options`: `step_size`,
    `spare` (a larger block, so that nothing compiled without a planted defect is used again).
    """
    key_truth, key_chain, key_host = jax.random.split(key, 3)
    x, data = draws_of_truth(truth or model, key_truth, num)
    rng = host_generator(key_host)
    step_size, length = TUNING[kernel]
    true, draws, moved = stationary_draws(
        model.target(), jax.tree.map(jnp.asarray, metric), x, data, rng.integers(0, NUM_DRAWS + 1, num),
        jax.random.split(key_chain, num), options.get("step_size", step_size), length,
        spec=BlockSpec(kernel, THIN + options.get("spare", 0), 5),
    )  # fmt: skip
    true, draws = np.asarray(true)[:, None], np.asarray(draws)
    below, ties = (draws < true).sum(axis=1), (draws == true).sum(axis=1)
    return rng.integers(below, below + ties, endpoint=True), float(moved.mean())


def draws_of_truth(model: Model, key, num: int):
    """`num` draws of (x, data) from prior and likelihood."""

    def one(key):
        key_x, key_data = jax.random.split(key)
        x = model.draw_x(key_x)
        return x, model.draw_data(key_data, x)

    return jax.jit(jax.vmap(one))(jax.random.split(key, num))


@partial(jax.jit, static_argnames="spec")
def stationary_draws(target, metric, x, data, place, keys, step_size, length, *, spec: BlockSpec):
    """Each x with its log density, the draws around it (num, L, dim + 1), and the share of transitions that moved."""

    def one(row):
        x, data, place, key = row
        here = eqx.tree_at(lambda target: target.traced_data, target, data)
        start = Position(x, *jax.value_and_grad(here.log_density)(x))

        def advance(position, index):
            position = jax.tree.map(lambda begin, now: jnp.where(index == place, begin, now), start, position)
            new, block = run_block(here, metric, position, key, index * THIN, THIN, step_size, length, spec=spec)
            path = jnp.concatenate([position.x[None], block.x[:THIN]])
            moved = jnp.mean(jnp.any(path[1:] != path[:-1], axis=1))
            return new, (jnp.append(new.x, new.log_density), moved)

        _, (draws, moved) = jax.lax.scan(advance, start, jnp.arange(NUM_DRAWS))
        return jnp.append(start.x, start.log_density), draws, moved.mean()

    return jax.lax.map(one, (x, data, place, keys), batch_size=BATCH)


@cache
def typical_covariance(model: Model):
    """Inverse of the precision averaged over prior and data: E[−∇² log p] = E[score scoreᵀ], by 2000 draws of one fixed key."""

    def score(x, data):
        return jax.grad(model.target_of(data).log_density)(x)

    scores = np.asarray(jax.jit(jax.vmap(score))(*draws_of_truth(model, jax.random.key(11), 2000)))
    return np.linalg.inv(scores.T @ scores / len(scores))


def rough_metric(model: Model, name: str) -> Any:
    """A metric of its kind that fits the posteriors roughly."""
    covariance = typical_covariance(model)
    scale = np.sqrt(np.diag(covariance)) * np.linspace(0.8, 1.25, len(covariance))
    if name == "diagonal":
        return DiagonalMetric(scale)
    if name == "dense":
        return DenseMetric.from_covariance(covariance + 0.2 * np.diag(scale**2))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    return LowRankMetric(scale, vectors[:, [0, -1]], values[[0, -1]] * np.array([1.3, 0.8]))
