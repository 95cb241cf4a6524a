"""Extreme frequencies of a Hessian that is too large to write down, by Lanczos on its products.

matfree's tridiagonalisation with full reorthogonalisation; what is here is the operator, the error bounds
and the reading of the result. Memory is O(dim · products).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.compiling import compiled
from monochord.metrics import AbstractMetric
from monochord.spectra._modes import Modes
from monochord.targets import AbstractTarget, lanes, raise_failure

NUM_PRODUCTS = 80  # outliers of a whitened spectrum converge in 10 to 40
CONVERGED = 1e-8  # residual over the largest value, which bounds the value's own error


@compiled(static_argnums=4)
def _tridiagonal(target: AbstractTarget, metric: AbstractMetric, points, start, num_products: int):
    from matfree.decomp import tridiag_sym  # slow to import, and only large targets need it

    score = jax.grad(target.log_density)

    def product(z, target, metric, points):
        direction = metric.unwhiten(z)
        each = lanes(lambda x: -jax.jvp(score, (x,), (direction,))[1])(points)
        return metric.whiten_covector(each.mean(0))

    run = tridiag_sym(num_products, materialize=False, reortho="full", custom_vjp=False)
    result = run(product, start, target, metric, points)
    return result.Q_tall, *result.J_small, jnp.linalg.norm(result.residual)


def lanczos_modes(
    target: AbstractTarget,
    metric: AbstractMetric,
    points: Float[Array, "draws dim"],
    rng: np.random.Generator,
    num_products: int = NUM_PRODUCTS,
) -> tuple[Modes, int]:
    """Modes of LᵀHL, H the potential's Hessian averaged over `points`, and the gradients spent.

    A Ritz pair has converged where ‖Av − θv‖ ≤ `CONVERGED` · θmax; an eigenvalue lies within that residual
    (Parlett 1998, *The Symmetric Eigenvalue Problem*, theorem 4.5.1). Converged pairs count as one mode; the
    others share the rest of the dimensions by their weight in the start, which is Gauss quadrature of the
    spectral density (Golub & Meurant 2010, section 6). A multiple eigenvalue is seen once. A lowest value that has not converged is an upper
    bound of ω²min, and its `error_low` says by how much it may be off.
    """
    num_products = min(num_products, metric.dim)
    start = rng.standard_normal(metric.dim)
    basis, diagonal, off, last = (
        np.asarray(part, dtype=np.float64)
        for part in _tridiagonal(target, metric, np.asarray(points), start, num_products)
    )
    raise_failure(target)
    modes = _read(basis, diagonal, off, float(last))
    return modes, 2 * len(points) * num_products


def _read(basis, diagonal, off, last: float) -> Modes:
    """Ritz values, their residuals, and the weights of what lies between; `basis` has shape (products, dim)."""
    count = _usable(diagonal, off)
    if count < len(diagonal):
        last = float(np.nan_to_num(abs(off[count - 1])))
    matrix = np.diag(diagonal[:count]) + np.diag(off[: count - 1], 1) + np.diag(off[: count - 1], -1)
    values, vectors = np.linalg.eigh(matrix)
    residual = np.abs(last * vectors[-1]) / float(np.max(np.abs(values)))
    weights = vectors[0] ** 2
    single = residual <= CONVERGED
    if single.all():  # the Krylov space is invariant: the start's own weights describe all of it
        weights *= basis.shape[1]
    else:
        weights *= (basis.shape[1] - single.sum()) / weights[~single].sum()
        weights[single] = 1.0
    low, high = basis[:count].T @ vectors[:, 0], basis[:count].T @ vectors[:, -1]
    return Modes(values, weights, low, high, residual)


def _usable(diagonal, off) -> int:
    """Steps before the recurrence broke down: an off-diagonal at rounding level, or not a number."""
    size = np.nanmax(np.abs(diagonal))
    for index, value in enumerate(off):
        if not np.isfinite(value) or abs(value) <= 1e-13 * size or not np.isfinite(diagonal[index + 1]):
            return index + 1
    return len(diagonal)
