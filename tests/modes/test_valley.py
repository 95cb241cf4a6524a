"""Ends of a curved valley are told from separate modes."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.modes import are_joined
from monochord.modes._valley import BARRIER, IMAGES, ROUNDS, STEPS
from monochord.targets import callable_target, evaluate


def _banana(params, bend):
    """N(0, 3²) in x, and y on a parabola in x with sd .3."""
    x, y = params["x"], params["y"]
    return -0.5 * (x / 3.0) ** 2 - 0.5 * ((y - bend * x**2) / 0.3) ** 2


def _pair(params, gap):
    """Two normals of weights .3 and .7 in five dimensions, `gap` sds apart."""
    x = params["x"]
    side = jnp.zeros(5).at[0].set(gap / 2.0)
    terms = jnp.stack([jnp.log(0.3) - 0.5 * jnp.sum((x + side) ** 2), jnp.log(0.7) - 0.5 * jnp.sum((x - side) ** 2)])
    return jnp.log(jnp.sum(jnp.exp(terms - terms.max()))) + terms.max()


def _at(mean, scale):
    mean = np.asarray(mean, float)
    return mc.Gaussian(mean, mc.DiagonalMetric(np.full(len(mean), scale)))


@pytest.mark.parametrize(("bend", "dip"), [(0.1, 10.0), (0.2, 50.0)])
def test_the_ends_of_a_banana_are_joined(bend, dip):
    """On the straight line between them the density falls by 13 and 56 nats."""
    target = callable_target(_banana, {"x": 0.0, "y": 0.0}, {"bend": np.asarray(bend)})
    ends = [_at([-4.0, 16.0 * bend], 0.3), _at([4.0, 16.0 * bend], 0.3)]
    line = evaluate(target, np.linspace(ends[0].mean, ends[1].mean, 9))
    assert line.log_density.min() < line.log_density[0] - dip
    joined, cost = are_joined(target, *ends)
    assert joined
    assert 2 + IMAGES * (2 + STEPS) <= cost.gradients <= 2 + IMAGES * (1 + ROUNDS * (STEPS + 1))


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
@pytest.mark.parametrize(("gap", "joined"), [(2.5, True), (6.0, False), (40.0, False)])
def test_two_normals(gap, joined, scale):
    """The true pass lies at 3.3 nats for six sds seen from the lighter one, and at none for two and a half; with scales that are wrong by factors of 3 to 5 too."""
    target = callable_target(_pair, {"x": np.zeros(5)}, {"gap": np.asarray(gap)})
    ends = [_at(np.eye(5)[0] * side * gap / 2.0, scale) for side in (-1.0, 1.0)]
    found, cost = are_joined(target, *ends)
    assert found == joined
    assert BARRIER < 3.3 and (found or cost.gradients == 2 + IMAGES * (1 + ROUNDS * (STEPS + 1)))


def test_places_without_a_density_are_no_way():
    """Catches: a point that is not finite taken for one that has climbed."""

    def walls(params):
        x = params["x"]
        return jnp.where(jnp.abs(x[0]) < 1.0, -jnp.inf, -0.5 * jnp.sum((jnp.abs(x) - jnp.array([3.0, 0.0])) ** 2))

    target = callable_target(walls, {"x": np.array([3.0, 0.0])})
    joined, _ = are_joined(target, _at([-3.0, 0.0], 1.0), _at([3.0, 0.0], 1.0))
    assert not joined
