"""`HostTarget`: a density that Python functions compute outside JAX, with their gradients."""

import contextlib
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FunctionType
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.errors import ModelError, MonochordError
from monochord.targets._base import AbstractTarget, check_names
from monochord.targets._hierarchy import Hierarchy
from monochord.targets._host_call import host_call, register
from monochord.targets._labels import Labels, Unseen

CUBE_ROOT_OF_EPSILON = float(np.cbrt(np.finfo(np.float64).eps))  # balances the two errors of a central difference


class HostModel:
    """The functions behind a `HostTarget`: called from several threads, counted, their errors kept for the user.

    `both(x)` returns log density and gradient, `quantities(x)` what is reported, as a dictionary with the names and shapes
    of `reported`, `product(x, v)` the log density's Hessian times v (without it, central differences of gradients). An exception among `rejects` means that the
    density is zero there, as a `std::domain_error` does in Stan: the proposal is rejected and counted in
    `num_rejected`. Any other stops the run.

    All host models are equal, so that a second one of the same dimension compiles nothing.
    """

    def __init__(
        self,
        name: str,
        both: Callable,
        quantities: Callable,
        reported: tuple[tuple[str, tuple[int, ...]], ...],
        product: Callable | None = None,
        rejects: tuple[type[Exception], ...] = (),
        parallel: bool = True,
        hierarchies: tuple[Hierarchy, ...] = (),
    ):
        self.name, self._both, self._product, self._quantities = name, both, product, quantities
        self.reported, self._rejects, self.parallel, self.hierarchies = reported, rejects, parallel, hierarchies
        # floating-point warnings of far-off points are no news; what the user has set to raise does so in every thread
        self._floating = {kind: "ignore" if way == "warn" else way for kind, way in np.geterr().items()}
        self._counting, self._calling = threading.Lock(), threading.Lock()
        self.num_gradients = self.num_rejected = 0
        self.last_rejection: Exception | None = None
        self._failure: BaseException | None = None
        self.handle = register(self)

    def __eq__(self, other):
        return isinstance(other, HostModel)

    def __hash__(self):
        return hash(HostModel)

    def with_term(self, term: Callable) -> "HostModel":
        """A model like this one with `term(x)`, a value and its gradient, added to the log density where that is finite."""
        both = self._both

        def sum_of_both(x):
            value, score = both(x)
            more, pull = term(x)
            return value + more, np.asarray(score, np.float64) + pull

        return HostModel(self.name, sum_of_both, self._quantities, self.reported, None, self._rejects, self.parallel)

    def functions(self) -> list[Callable]:
        """Python functions among those given, taken out of the partial functions around them."""
        found: list[Callable] = []

        def look(value) -> None:
            if isinstance(value, partial):
                for part in (value.func, *value.args):
                    look(part)
            elif isinstance(value, tuple):
                for part in value:
                    look(part)
            elif isinstance(value, FunctionType):
                found.append(value)

        look((self._both, self._quantities, self._product))
        return found

    def value_and_score(self, x: np.ndarray) -> tuple[Any, np.ndarray]:
        """Log density and gradient; −∞ and zeros where the point is rejected or the run must end."""
        out = self._guarded(self._both, x)
        with self._counting:
            self.num_gradients += 1
        return out if out is not None else (-np.inf, np.zeros(len(x)))

    def product(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray]:
        """The Hessian of the log density at `x` times `v`: two gradients.

        The central difference moves by ε^⅓·√‖v‖ along v. Truncation and rounding stay below 1e-4 for ‖v‖ of 1e-6 to
        1e6, whether the density varies over lengths of ‖v‖ or of 1.
        """
        if self._product is not None:
            out = self._guarded(self._product, x, v)
            with self._counting:
                self.num_gradients += 2
            if out is not None:
                return (np.asarray(out, np.float64),)
        length = float(np.linalg.norm(v))
        if length == 0.0:
            return (np.zeros(len(x)),)
        step = CUBE_ROOT_OF_EPSILON / np.sqrt(length)
        (above, up), (below, down) = (self.value_and_score(x + sign * step * v) for sign in (1.0, -1.0))
        if not (np.isfinite(above) and np.isfinite(below)):
            return (np.full(len(x), np.nan),)
        return ((up - down) / (2.0 * step),)

    def quantities(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """The reported arrays, in order; NaN at a rejected point."""
        made = self._guarded(self._quantities, x)
        if made is None:
            return tuple(np.full(shape, np.nan) for _, shape in self.reported)
        return tuple(np.asarray(made[name], np.float64).reshape(shape) for name, shape in self.reported)

    def evaluate(self, x: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, np.ndarray]:
        """Log densities and gradients of `n` points, side by side in threads. **Raises** what the model raised."""
        rows = self.map(self.value_and_score, x)
        values, scores = zip(*rows, strict=True)
        return np.array(values, np.float64), np.array(scores, np.float64).reshape(x.shape)

    def map(self, function: Callable, *rows) -> list[Any]:
        """`function` of each row, in threads where the model allows it. **Raises** what the model raised."""
        serial = not self.parallel or len(rows[0]) == 1
        made = list(map(function, *rows) if serial else _threads().map(function, *rows))
        self.raise_failure()
        return made

    def raise_failure(self) -> None:
        """**Raises** `ModelError` from what stopped the model since the last call, if anything did."""
        with self._counting:
            failure, self._failure = self._failure, None
        if failure is None:
            return
        if isinstance(failure, MonochordError) or not isinstance(failure, Exception):  # said already, or Ctrl-C
            raise failure
        first = (str(failure).strip().splitlines() or [""])[0]
        place = traceback.extract_tb(failure.__traceback__)[-1]
        raise ModelError(
            f"`{self.name}` raised {type(failure).__name__}: {first} Nothing can be sampled where it does not run. Mend line "
            f"{place.lineno} of `{os.path.basename(place.filename)}`. To reject a point, return -inf as its log density."
        ) from failure

    def _guarded(self, function: Callable, *arguments):
        if self._failure is not None:  # the program around this call ends soonest by rejecting
            return None
        try:
            with self._turn(), np.errstate(**self._floating):  # pyright: ignore[reportArgumentType]
                return function(*arguments)
        except MonochordError as error:
            with self._counting:
                self._failure = self._failure or error
        except self._rejects as error:
            with self._counting:
                self.num_rejected += 1
                self.last_rejection = error
        except BaseException as error:  # raised again outside the compiled program, which would lose it
            with self._counting:
                self._failure = self._failure or error
        return None

    def _turn(self):
        return contextlib.nullcontext() if self.parallel else self._calling


_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, "monochord-host")
    return _pool


@jax.custom_jvp
def _both(x, handle):
    return tuple(host_call("value_and_score", handle, x, shapes=((), x.shape)))


@_both.defjvp
def _both_forward(primals, tangents):
    (x, handle), (v, _) = primals, tangents
    value, score = _both(x, handle)
    (product,) = host_call("product", handle, x, v, shapes=(x.shape,))
    return (value, score), (score @ v, product)


@jax.custom_jvp
def _value(x, handle):
    return _both(x, handle)[0]


@_value.defjvp
def _value_forward(primals, tangents):
    (x, handle), (v, _) = primals, tangents
    value, score = _both(x, handle)
    return value, score @ v


@final
class HostTarget(AbstractTarget):
    """A log density and its gradient as Python functions; `numpy_target` and `stan_target` build it.

    JAX's transformations work on it: compiled code calls back, one point at a time, never vectorised.
    """

    center: Float[Array, " dim"]
    handle: Array
    names: tuple[str, ...] = eqx.field(static=True)
    reported: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    model: HostModel = eqx.field(static=True)
    observed: Unseen = eqx.field(static=True)
    labels: Labels = eqx.field(static=True)

    @property
    def vectorised(self):
        return False

    @property
    def host(self):
        return self

    def log_density(self, x):
        return _value(jnp.asarray(x), self.handle)

    def constrain(self, x):
        names, shapes = zip(*self.reported, strict=True)
        return dict(zip(names, host_call("quantities", self.handle, jnp.asarray(x), shapes=shapes), strict=True))

    def evaluate_on_host(self, x: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, np.ndarray]:
        """Log densities and gradients at `n` points without JAX. **Raises** `ModelError` from the model's own error."""
        return self.model.evaluate(np.asarray(x, np.float64))

    def products_on_host(self, x: Float[np.ndarray, "n dim"], v: Float[np.ndarray, "n dim"]) -> np.ndarray:
        """Products of the log density's Hessian at `n` points without JAX."""
        return np.concatenate(self.model.map(lambda *row: self.model.product(*row)[0][None], x, v))

    def constrain_on_host(self, x: Float[np.ndarray, "n dim"]) -> dict[str, np.ndarray]:
        """The reported quantities at `n` points without JAX."""
        rows = self.model.map(self.model.quantities, np.asarray(x, np.float64))
        return {
            name: np.stack(column) for (name, _), column in zip(self.reported, zip(*rows, strict=True), strict=True)
        }

    def hierarchies(self):
        return self.model.hierarchies

    def observed_data(self):
        return dict(self.observed.value)


def host_target(
    center: np.ndarray,
    names: tuple[str, ...],
    model: HostModel,
    observed: Mapping[str, np.ndarray] | None = None,
    labels: Labels | None = None,
) -> HostTarget:
    """A target on `model`, checked. **Raises** `ModelError` for names that clash, `OptionError` for labels that do not fit."""
    check_names([name for name, _ in model.reported])
    labels = labels or Labels()
    labels.check(dict(model.reported))
    return HostTarget(
        center=center,
        handle=np.asarray(model.handle, np.int32),
        names=names,
        reported=model.reported,
        model=model,
        observed=Unseen(dict(observed or {})),
        labels=labels,
    )


def raise_failure(target: AbstractTarget) -> None:
    """**Raises** `ModelError` if a function of a host target, or of one along a map, failed inside a compiled program."""
    if isinstance(target.host, HostTarget):
        target.host.model.raise_failure()
