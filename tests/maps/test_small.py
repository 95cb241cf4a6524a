"""Many small matrices factored and solved: against NumPy, and without work that LAPACK would split over XLA's threads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.maps import BorderedMap, NodedMap
from monochord.maps._small import UNROLLED, factored, solved, solved_columns, solved_turned

SPLIT = (
    200_000  # multiplications from which on jaxlib's kernels share out a batch, and wait for each other in a small pool
)
COUNT, COLUMNS = 40, 30


def _matrices(width):
    roots = np.random.default_rng(width).standard_normal((COUNT, width, width))
    return roots @ np.swapaxes(roots, 1, 2) + width * np.eye(width)


def _work(jaxpr):
    """Multiplications of every call of LAPACK on more than one matrix."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("cholesky", "triangular_solve"):
            *batch, rows, columns = equation.invars[-1].aval.shape
            if np.prod(batch, initial=1) > 1:
                yield int(np.prod(batch)) * rows * rows * max(rows, columns)
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "jaxpr") or hasattr(v, "eqns")
        ):
            if hasattr(getattr(value, "jaxpr", value), "eqns"):
                yield from _work(getattr(value, "jaxpr", value))


def _total(matrices, right):
    factor = factored(matrices)
    ends = solved_turned(factor, solved(factor, right[..., 0]))
    return jnp.sum(solved_columns(factor, right) ** 2) + jnp.sum(ends**2) + jnp.sum(jnp.log(factor[:, 0, 0]))


@pytest.mark.parametrize("width", [3, UNROLLED, UNROLLED + 1, 12, 50])
def test_factors_and_solutions_are_those_of_numpy(width):
    """Narrow ones are written out, wide ones go to LAPACK a few at a time, the last few fewer."""
    matrices, right = _matrices(width), np.random.default_rng(0).standard_normal((COUNT, width, COLUMNS))
    factor, expected = factored(jnp.asarray(matrices)), np.linalg.cholesky(matrices)
    np.testing.assert_allclose(factor, expected, rtol=1e-10, atol=1e-12)
    columns = np.linalg.solve(expected, right)
    np.testing.assert_allclose(solved_columns(factor, jnp.asarray(right)), columns, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solved(factor, jnp.asarray(right[..., 1])), columns[..., 1], rtol=1e-9, atol=1e-12)
    turned = np.linalg.solve(np.swapaxes(expected, 1, 2), right[..., :1])[..., 0]
    np.testing.assert_allclose(solved_turned(factor, jnp.asarray(right[..., 0])), turned, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [12, 50])
def test_no_call_of_lapack_is_split(width):
    """Forward and backward: two split calls at once wait for ever in a pool of two threads. Unbatched control: one call on all is split."""
    matrices, right = jnp.asarray(_matrices(width)), jnp.ones((COUNT, width, COLUMNS))
    found = list(_work(jax.make_jaxpr(jax.grad(_total, argnums=(0, 1)))(matrices, right).jaxpr))
    assert max(found, default=0) < SPLIT
    assert max(_work(jax.make_jaxpr(jnp.linalg.cholesky)(jnp.asarray(_matrices(50))).jaxpr)) > SPLIT


def _bordered(width, border):
    """Forty blocks that lean on a border, all scaled by the last coordinate."""
    dim, rng = COUNT * width + border + 1, np.random.default_rng(0)
    coupling = 0.1 * rng.standard_normal((2, COUNT, width, border))
    coupling[1] = 0.0
    precision = np.stack([_matrices(width), np.broadcast_to(np.eye(width), (COUNT, width, width))])
    return BorderedMap(
        members=np.arange(COUNT * width).reshape(COUNT, width),
        border=COUNT * width + np.arange(border),
        scales=np.array([dim - 1]),
        center=np.zeros(dim),
        exponents=np.array([[0.0], [2.0]]),
        precision=precision,
        coupling=coupling,
        border_precision=np.stack([9.0 * COUNT * np.eye(border), np.eye(border)]),
        pull=rng.standard_normal((2, COUNT, width)),
        border_pull=rng.standard_normal((2, border)),
    )


@pytest.mark.parametrize("made", [_bordered, lambda *sizes: NodedMap.of(0, 1.0, [_bordered(*sizes)] * 7)])
def test_no_map_of_wide_blocks_asks_lapack_to_split(made):
    """Blocks of 12 and a border of 30 are 0.17 million multiplications each way, three nodes thrice that."""
    along = made(12, 30)
    jaxpr = jax.make_jaxpr(jax.grad(lambda u: sum(jnp.sum(part) for part in along.forward(u))))(
        jnp.zeros(along.dim)
    ).jaxpr
    found = list(_work(jaxpr))
    assert found and max(found) < SPLIT
