"""Maps of blocks: groups of several parameters become exactly Gaussian, found from draws where the scales are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.maps import BlockMap, SliceTarget, block_map, map_arrays, map_from_arrays, mapped
from monochord.testing import gaussian_target

GROUPS, EACH = 30, 6


def _slopes(params, x, y):
    """Centred intercepts and slopes by group, y[g, i] = a_g + b_g x[g, i] + noise."""
    log_a, log_b, log_y = params["log_s"]
    left = y - params["a"][:, None] - params["b"][:, None] * x
    density = -0.5 * jnp.sum(left**2) * jnp.exp(-2 * log_y) - y.size * log_y
    density -= 0.5 * jnp.sum((params["a"] - params["m"][0]) ** 2) * jnp.exp(-2 * log_a) + GROUPS * log_a
    density -= 0.5 * jnp.sum((params["b"] - params["m"][1]) ** 2) * jnp.exp(-2 * log_b) + GROUPS * log_b
    scales = jnp.exp(params["log_s"])
    return density - 0.5 * jnp.sum(params["m"] ** 2) / 25 + jnp.sum(params["log_s"] - 0.5 * scales**2)


@pytest.fixture(scope="module")
def slopes():
    rng = np.random.default_rng(7)
    x = (rng.random((GROUPS, EACH)) < 0.3).astype(float)
    x[:, 0] = 1.0
    a, b = 1.0 + 0.5 * rng.standard_normal(GROUPS), -0.5 + 0.4 * rng.standard_normal(GROUPS)
    y = a[:, None] + b[:, None] * x + 0.7 * rng.standard_normal(x.shape)
    init = {"a": np.zeros(GROUPS), "b": np.zeros(GROUPS), "log_s": np.zeros(3), "m": np.zeros(2)}
    target = mc.target(_slopes, init=init, data={"x": x, "y": y})
    return target, x, y, mc.fit(target, seed=101, maps=False, progress=False)


def test_slopes_and_intercepts_are_found_exactly(slopes):
    """The Hessian of the groups' u is the identity, at hyperparameters far from any that the map was learned at, and the exponents are those of
    the model: to rounding. Catches: terms exchanged, a driver missed, a pair of a group torn apart."""
    target = slopes[0]
    linear = mc.fit(target, seed=100, maps=False, progress=False)
    along = block_map(linear.gaussian, linear.draws)
    assert along.num_moved == 2 * GROUPS and len(along.members) == GROUPS
    there = mapped(target, along)
    point = np.zeros(target.dim)
    point[along.left] = np.asarray(linear.gaussian.mean)[along.left] - 0.8
    hessian = np.asarray(jax.jit(jax.hessian(there.log_density))(jnp.asarray(point)))
    moved = np.setdiff1d(np.arange(target.dim), along.left)
    np.testing.assert_allclose(hessian[moved], -np.eye(target.dim)[moved], atol=1e-4)
    exponents = along.exponents / along.unit[along.scale_drivers]
    np.testing.assert_allclose(exponents[1:], np.eye(3), atol=1e-4)


@pytest.mark.parametrize("width", [3, 8])
def test_a_block_map_is_a_bijection_with_the_log_determinant_it_states(width):
    """Blocks factorised column by column, and by a call."""
    along = _random_map(width)
    u = 0.5 * np.random.default_rng(1).standard_normal((3, along.dim))
    x, log_det = jax.jit(jax.vmap(along.forward))(u)
    np.testing.assert_allclose(along.place(u), x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(along.inverse(np.asarray(x)), u, rtol=1e-8, atol=1e-9)
    jacobian = jax.jit(jax.vmap(jax.jacobian(lambda u: along.forward(u)[0])))(u)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-8)
    again = map_from_arrays(map_arrays(along))
    np.testing.assert_array_equal(again.place(u), along.place(u))
    assert isinstance(again, BlockMap) and "blocks given" in along.named(tuple(map(str, range(along.dim))))


def _random_map(width: int) -> BlockMap:
    """A full block, and one of 2 filled up; two drivers."""
    rng = np.random.default_rng(2)
    members = np.full((2, width), 14)
    members[0], members[1, :2] = np.arange(2, 2 + width), (10, 12)
    roots = rng.standard_normal((2, 2, width, width))
    precision = roots @ np.swapaxes(roots, -1, -2) + 0.5 * np.eye(width)
    precision[:, 1, 2:] = precision[:, 1, :, 2:] = 0.0
    precision[0, 1, 2:, 2:] = np.eye(width - 2)
    shift = rng.standard_normal((2, 2, width, 2))
    shift[:, 1, 2:] = 0.0
    exponents = np.array([[0.0, 0.0], [0.4, -0.3]])
    return BlockMap(
        members,
        np.array([0, 1]),
        np.array([11]),
        rng.standard_normal(14),
        1 + rng.random(14),
        exponents,
        precision,
        shift,
    )


def test_fit_and_sample_along_blocks_are_right(slopes, tmp_path, monkeypatch):
    """Against the closed form of the groups given the hyperparameters: over the draws, the mean of a_g + b_g is E[E(a_g + b_g | hyper)], a
    difference that is fresh noise given the hyperparameters, however slowly these mix. 30 groups beyond 5.5 standard errors of 300
    independent draws: false-fail 2e-6. Catches: a map that leaves the posterior, or is lost in the file."""
    monkeypatch.setattr("monochord.mapping._hierarchy.MAX_DIM", 0)  # which finds the terms of such a model exactly
    target, x, y, linear = slopes
    fit = mc.fit(target, seed=101, progress=False)
    assert isinstance(fit.map, BlockMap) and fit.cost.gradients > linear.cost.gradients
    read = mc.load(fit.save(tmp_path / "fit.npz"))
    np.testing.assert_array_equal(read.map.place(fit.draws.x), fit.map.place(fit.draws.x))
    data = mc.sample(target, fit=read, seed=1, draws=300, kernel="hmc", progress=False)
    draws = {
        name: data["posterior"][name].values.reshape(-1, *data["posterior"][name].shape[2:])
        for name in ("a", "b", "log_s", "m")
    }
    weight = np.exp(-2 * draws["log_s"])
    design = np.stack([np.ones_like(x), x], axis=-1)
    gram, right = np.einsum("gik,gil->gkl", design, design), np.einsum("gik,gi->gk", design, y)
    prior = weight[:, :2, None] * np.eye(2)
    precision = prior[:, None] + weight[:, 2, None, None, None] * gram
    mean = np.linalg.solve(
        precision, (np.einsum("nkl,nl->nk", prior, draws["m"])[:, None] + weight[:, 2, None, None] * right)[..., None]
    )
    gap = draws["a"] + draws["b"] - mean[..., 0].sum(-1)
    assert np.max(np.abs(gap.mean(0)) / (gap.std(0) / np.sqrt(300))) < 5.5


def test_a_slice_of_a_gaussian_is_a_conditional():
    covariance = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 3.0]])
    part = SliceTarget.of(gaussian_target(np.zeros(3), covariance), np.array([0, 2]))
    precision = np.linalg.inv(covariance)[np.ix_([0, 2], [0, 2])]
    np.testing.assert_allclose(jax.hessian(part.log_density)(jnp.ones(2)), -precision, rtol=1e-9)
    assert part.dim == 2 and len(part.names) == 2


def test_no_blocks_without_drivers():
    """Catches: structure read into noise. 5 correlated Gaussians of 20 coordinates."""
    rng = np.random.default_rng(6)
    for seed in range(5):
        factor = rng.standard_normal((20, 20)) / 4 + np.diag(np.geomspace(0.1, 10, 20))
        fit = mc.fit(gaussian_target(np.zeros(20), factor @ factor.T), seed=seed, progress=False)
        assert block_map(fit.gaussian, fit.draws) is None
