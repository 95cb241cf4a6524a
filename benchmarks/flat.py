"""A problem on one flat vector, as foreign engines want it, with or without the counter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.counting import Counter, counted
from benchmarks.problems import Problem

START_RADIUS = 2.0  # Stan's: uniform within ±2 of the centre, in unconstrained space
MAX_TRIES = 100  # Stan's


@dataclasses.dataclass(frozen=True)
class FlatProblem:
    """`problem` in coordinates `x`, shape (dim,); `counter` is None where nothing is to be counted.

    `programs` holds what a second run on the same problem need not compile again.
    """

    problem: Problem
    counter: Counter | None
    center: np.ndarray
    unravel: Callable[[jax.Array], dict[str, jax.Array]]
    data: dict[str, Any]
    density: Callable[..., jax.Array]
    programs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self.center.size

    def once(self, name: str, build: Callable[[], Any]) -> Any:
        """What `build` returned when it was first asked for `name`."""
        if name not in self.programs:
            self.programs[name] = build()
        return self.programs[name]

    def log_density(self, x: jax.Array, data: dict[str, Any]) -> jax.Array:
        """Log density at `x`; pass `data` as an argument of whatever is compiled."""
        return self.density(self.unravel(x), **data)

    def value_and_grad(self) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """A compiled function of a NumPy point: log density and gradient as NumPy values.

        Both leave JAX as one array, which halves the time of a call.
        """

        def packed(x, data):
            value, gradient = jax.value_and_grad(self.log_density)(x, data)
            return jnp.concatenate([value[None], gradient])

        program = self.once("value_and_grad", lambda: jax.jit(packed))
        data = jax.device_put(self.data)

        def evaluate(x):
            result = np.asarray(program(x, data))
            return float(result[0]), result[1:]

        return evaluate

    def starts(self, seed: int, count: int) -> np.ndarray:
        """`count` random points of finite density and gradient, shape (count, dim); every try is counted.

        **Raises** `RuntimeError` when `MAX_TRIES` in a row fail.
        """
        rng, evaluate, found, failures = np.random.default_rng(seed), self.value_and_grad(), [], 0
        while len(found) < count:
            x = self.center + rng.uniform(-START_RADIUS, START_RADIUS, self.dim)
            value, gradient = evaluate(x)
            if np.isfinite(value) and np.all(np.isfinite(gradient)):
                found.append(x)
                failures = 0
            elif (failures := failures + 1) == MAX_TRIES:
                raise RuntimeError(f"no start with a finite density in {MAX_TRIES} tries")
        return np.stack(found)

    def constrain(self, draws: np.ndarray, chunk: int = 256) -> dict[str, np.ndarray]:
        """The problem's quantities at draws (chains, draws, dim); arrays lead with (chains, draws)."""
        one = jax.jit(jax.vmap(lambda x, data: self.problem.constrain(self.unravel(x), **data), (0, None)))
        flat = draws.reshape(-1, self.dim)
        padded = np.concatenate([flat, np.repeat(flat[-1:], -len(flat) % chunk, axis=0)])
        parts = [one(padded[i : i + chunk], self.data) for i in range(0, len(padded), chunk)]
        joined = {name: np.concatenate([np.asarray(part[name]) for part in parts])[: len(flat)] for name in parts[0]}
        return {name: value.reshape(*draws.shape[:2], *value.shape[1:]) for name, value in joined.items()}


def flatten(problem: Problem, counter: Counter | None = None) -> FlatProblem:
    """`problem` on a flat vector, counted by `counter` if there is one."""
    center, unravel = ravel_pytree(jax.tree.map(jnp.asarray, problem.init))
    density = problem.log_density if counter is None else counted(problem.log_density, counter)
    data = jax.tree.map(jnp.asarray, problem.data)
    return FlatProblem(problem, counter, np.asarray(center, dtype=np.float64), unravel, data, density)
