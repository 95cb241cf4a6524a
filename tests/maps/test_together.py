"""Coordinates moved at once: sets that do not mix, columns that are those of one at a time, and what they cost."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.maps import _together as together
from monochord.maps import found_terms, with_rest
from monochord.targets import evaluate

PER, LEVELS, SLOPES = 6, 7, 3


def _counted(target):
    """Scores, and a list of how many were asked for at a time."""
    asked = []

    def score(x):
        asked.append(len(x))
        return np.asarray(evaluate(target, x).score)

    return score, asked


def _nested(params, y):
    """Slopes of groups around their means, each kind with a scale; the slopes of one group are seen together, with a noise of unknown scale."""
    s, noise = params["s"], params["noise"]
    design = jnp.cos(jnp.arange(PER * SLOPES).reshape(PER, SLOPES))
    away = (params["b"] - params["m"]) * jnp.exp(-s)
    seen = (y - params["b"] @ design.T) * jnp.exp(-noise)
    density = -0.5 * jnp.sum(away**2) - LEVELS * jnp.sum(s) - 0.5 * jnp.sum(seen**2) - PER * LEVELS * noise
    return density - 0.5 * jnp.sum(params["m"] ** 2) - 0.5 * jnp.sum(s**2) - 0.5 * noise**2


@pytest.fixture(scope="module")
def nested():
    y = np.random.default_rng(0).normal(size=(LEVELS, PER))
    init = {"b": np.zeros((LEVELS, SLOPES)), "m": np.zeros(SLOPES), "s": np.zeros(SLOPES), "noise": 0.0}
    return mc.target(_nested, init=init, data={"y": y})


def _told(target, monkeypatch=None):
    score, asked = _counted(target)
    if monkeypatch is not None:  # all touch all, so each moves alone
        monkeypatch.setattr(together, "NOISE", -1.0)
    found = found_terms(score, np.zeros(target.dim), np.full(target.dim, 0.5), np.random.default_rng(0))
    return found, asked, score


def test_terms_of_many_at_once_are_those_of_one_at_a_time(nested, monkeypatch):
    """Catches: a row given to another coordinate than the one that touches it, a row of a mean not taken from its own column, or not
    divided by its own step."""
    found, asked, score = _told(nested)
    alone, asked_alone, _ = _told(nested, monkeypatch)
    assert np.all(alone.touch) and not np.all(found.touch) and sum(asked) < 0.7 * sum(asked_alone)
    assert len(found.terms) == SLOPES + 1 and found.given == alone.given == ()
    for one, other in zip(found.terms, alone.terms, strict=True):
        assert one.exponents == pytest.approx(other.exponents)
        np.testing.assert_allclose(one.precision, other.precision, atol=1e-7 * np.max(other.precision))
        np.testing.assert_allclose(one.field, other.field, atol=1e-7 * np.max(np.abs(other.field)))
    np.testing.assert_allclose(found.rest, alone.rest, atol=1e-6)
    x, unit = np.linspace(-1.0, 1.0, nested.dim), np.linspace(0.2, 0.7, nested.dim)
    np.testing.assert_allclose(
        with_rest(score, found.moved_to(x), unit).rest, with_rest(score, alone.moved_to(x), unit).rest, atol=1e-6
    )


def _funnel(params):
    return -0.5 * jnp.sum(params["x"] ** 2) * jnp.exp(-params["v"]) - 0.5 * params["v"] ** 2 - 200 * params["v"] / 2


def test_two_hundred_of_a_funnel_cost_little_more_than_a_step_to_either_side():
    funnel = mc.target(_funnel, init={"x": np.zeros(200), "v": 0.0})
    found, asked, _ = _told(funnel)
    assert len(found.members) == 200 and sum(asked) < 1 + 2 * 201 + 60


def test_a_scale_among_those_that_only_count(nested):
    """A walk of log rates of counts: along each all scores are exponential, and none is a scale but that of the steps. Catches: a set that is
    cleared though one of it bends."""

    def walk(params, y):
        steps = jnp.diff(params["x"]) * jnp.exp(-params["s"])
        density = -0.5 * jnp.sum(steps**2) - 29 * params["s"] - 0.5 * params["x"][0] ** 2 - 0.5 * params["s"] ** 2
        return density + jnp.sum(params["x"] * y - jnp.exp(params["x"]))

    target = mc.target(walk, init={"x": np.zeros(30), "s": 0.0}, data={"y": np.ones(30)})
    found, _, _ = _told(target)
    (term,) = found.terms
    assert list(term.exponents) == [target.names.index("s")] and len(found.members) == 30


def test_sets_hold_no_two_that_touch():
    """A graph at random, some 6 others each. The reverse, that few sets are made, is what a walk shows."""
    rng = np.random.default_rng(1)
    touch = rng.random((60, 60)) < 0.05
    touch = touch | touch.T | np.eye(60, dtype=bool)
    sets = together.apart(touch, np.arange(3, 60))
    assert sorted(np.concatenate(sets)) == list(range(3, 60))
    assert all(np.array_equal(touch[np.ix_(own, own)], np.eye(len(own), dtype=bool)) for own in sets)
    sets, alone = together.told_apart(touch, [np.arange(30), np.arange(30, 60)], np.arange(60))
    others = np.setdiff1d(np.arange(60), alone)
    assert sorted(np.concatenate(sets)) == list(range(60))
    assert all(np.all(touch[np.ix_(own, others)].sum(0) <= 1) for own in sets if len(own) > 1)
    assert all(len({i < 30 for i in own}) == 1 for own in sets)
    walk = np.abs(np.subtract.outer(np.arange(60), np.arange(60))) <= 1
    assert len(together.apart(walk, np.arange(60))) == 2
    assert len(together.told_apart(walk, [np.arange(60)], np.arange(60))[0]) == 3


def test_means_move_alone():
    """Eight groups of three slopes, of a class each, around three means: slopes touch more rows than means do, but means keep slopes apart."""
    touch = np.kron(np.eye(8, dtype=bool), np.ones((3, 3), bool))
    touch = np.block(
        [
            [touch, np.tile(np.eye(3, dtype=bool), (8, 1))],
            [np.tile(np.eye(3, dtype=bool), (1, 8)), np.eye(3, dtype=bool)],
        ]
    )
    classes = [np.append(np.arange(k, 24, 3), 24 + k) for k in range(3)]
    sets, alone = together.told_apart(touch, classes, np.arange(27))
    assert sorted(alone) == [24, 25, 26] and len(sets) == 6
