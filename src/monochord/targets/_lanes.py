"""Many points through one function: side by side, or one after the other where side by side could hang."""

from collections.abc import Callable, Iterator

import jax
from jax.extend.core import jaxpr_as_fun

# On the CPU, LAPACK called on a batch splits it over XLA's pool of threads and waits there for its parts: two such calls
# that do not depend on each other wait for ever in a pool of two (jaxlib 0.10, `ParallelBatchMap`; seen in a debugger
# with two triangular solves). One matrix at a time never waits.
LAPACK = {
    "cholesky", "cholesky_update", "eig", "eigh", "geqp3", "geqrf", "hessenberg", "householder_product", "lu",
    "qr", "schur", "svd", "sylvester", "triangular_solve", "tridiagonal", "tridiagonal_solve",
}  # fmt: skip

CALLBACKS = {"pure_callback", "io_callback", "monochord_host_call"}


def lanes(function: Callable, batch_size: int | None = None) -> Callable:
    """Map `function` over the leading axis of its arguments, inside a compiled function; it is traced once.

    `batch_size` points lie side by side, all where it is None; one does where the function factors matrices on a CPU.
    """

    def mapped(*points):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*(point[0] for point in points))
        flat, tree = jaxpr_as_fun(closed), jax.tree.structure(shape)
        if _factors(closed.jaxpr):
            out = jax.lax.map(lambda point: flat(*point), points)
        elif batch_size is not None and batch_size < len(points[0]):
            out = jax.lax.map(lambda point: flat(*point), points, batch_size=batch_size)
        else:
            out = jax.vmap(flat)(*points)
        return jax.tree.unflatten(tree, out)

    return mapped


def takes_turns(function: Callable, *points) -> bool:
    """Whether `lanes(function)` maps these points one after the other."""
    return _factors(jax.make_jaxpr(function)(*(point[0] for point in points)).jaxpr)


def calls_back(function: Callable, *arguments) -> bool:
    """Whether `function` calls Python while it runs."""
    return bool(CALLBACKS.intersection(_primitives(jax.make_jaxpr(function)(*arguments).jaxpr)))


def _factors(jaxpr) -> bool:
    return jax.default_backend() == "cpu" and bool(LAPACK.intersection(_primitives(jaxpr)))


def _primitives(jaxpr) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_holds_equations):
            if _holds_equations(value):
                yield from _primitives(getattr(value, "jaxpr", value))


def _holds_equations(value) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")
