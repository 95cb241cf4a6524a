"""Coordinates moved at once: sets that do not mix, columns that are those of one at a time, and what they cost."""

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.maps import _together as together
from monochord.maps import found_terms, hierarchical_map, mapped
from monochord.maps._sequences import scores_near, sequences
from monochord.targets import evaluate

PER, LEVELS, SLOPES = 6, 7, 3


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


def _told(target, monkeypatch=None, center=None, unit=None, seed=0):
    """Terms, and how many scores were asked for at a time."""
    asked = []

    def score(x):
        asked.append(len(x))
        return np.asarray(evaluate(target, x).score)

    if monkeypatch is not None:  # all touch all, so each moves alone
        monkeypatch.setattr(together, "NOISE", -1.0)
    center = np.zeros(target.dim) if center is None else center
    unit = np.full(target.dim, 0.5) if unit is None else unit
    with np.errstate(all="ignore"):
        return found_terms(score, center, unit, np.random.default_rng(seed)), asked


def test_terms_of_many_at_once_are_those_of_one_at_a_time(nested, monkeypatch):
    """Catches: a row given to another coordinate than the one that touches it, a row of a mean not taken from its own column, or not
    divided by its own step."""
    found, asked = _told(nested)
    alone, asked_alone = _told(nested, monkeypatch)
    assert np.all(alone.touch) and not np.all(found.touch) and sum(asked) < 0.7 * sum(asked_alone)
    assert len(found.terms) == SLOPES + 1 and found.given == alone.given == ()
    for one, other in zip(found.terms, alone.terms, strict=True):
        assert one.exponents == pytest.approx(other.exponents)
        np.testing.assert_allclose(one.precision, other.precision, atol=1e-7 * np.max(other.precision))
        np.testing.assert_allclose(one.field, other.field, atol=1e-7 * np.max(np.abs(other.field)))
    np.testing.assert_allclose(found.rest, alone.rest, atol=1e-6)


def _funnel(params):
    return -0.5 * jnp.sum(params["x"] ** 2) * jnp.exp(-params["v"]) - 0.5 * params["v"] ** 2 - 200 * params["v"] / 2


def test_two_hundred_of_a_funnel_cost_little_more_than_a_step_to_either_side():
    funnel = mc.target(_funnel, init={"x": np.zeros(200), "v": 0.0})
    found, asked = _told(funnel)
    assert len(found.members) == 200 and sum(asked) < 1 + 2 * 201 + 60


def test_a_scale_among_those_that_only_count():
    """A walk of log rates of counts: along each all scores are exponential, and none is a scale but that of the steps. Catches: a set that is
    cleared though one of it bends."""

    def walk(params, y):
        steps = jnp.diff(params["x"]) * jnp.exp(-params["s"])
        density = -0.5 * jnp.sum(steps**2) - 29 * params["s"] - 0.5 * params["x"][0] ** 2 - 0.5 * params["s"] ** 2
        return density + jnp.sum(params["x"] * y - jnp.exp(params["x"]))

    target = mc.target(walk, init={"x": np.zeros(30), "s": 0.0}, data={"y": np.ones(30)})
    found, _ = _told(target)
    (term,) = found.terms
    assert list(term.exponents) == [target.names.index("s")] and len(found.members) == 30


COUNTS = np.random.default_rng(2).poisson(1.0, 40).astype(float)


def test_what_bends_the_row_of_a_mean_alone_is_given():
    """A lattice between independence and an intrinsic field (Leroux): linear in the mixture a, whose row is quadratic in each of the others, and
    which moves alone. Catches: rows of what moves alone that nobody looks at."""
    near = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    ties = np.isin(near, (1, 5)).astype(float)
    laplacian = np.diag(ties.sum(1)) - ties
    values = np.linalg.eigvalsh(laplacian)

    def field(params, counts):
        y, s, a = params["y"], params["s"], params["a"]
        square = jnp.dot(y, (1 - a) * y + a * (laplacian @ y))
        prior = -0.5 * square * jnp.exp(-2 * s) - 40 * s + 0.5 * jnp.sum(jnp.log(1 - a + a * values))
        return prior + jnp.sum(y * counts - jnp.exp(y)) - 50.0 * (a - 0.5) ** 2 - 0.5 * s**2

    target = mc.target(field, init={"y": np.zeros(40), "s": 0.0, "a": 0.5}, data={"counts": COUNTS})
    a = target.names.index("a")
    center, unit = np.zeros(target.dim), np.full(target.dim, 0.5)
    center[a], unit[a] = 0.5, 0.1
    found, _ = _told(target, center=center, unit=unit)
    assert found.given == (a,) and len(found.members) == 40
    assert [list(term.exponents.values()) for term in found.terms] == [[pytest.approx(2.0)]]


@pytest.mark.parametrize("seed", range(4))
def test_a_term_that_is_linear_is_kept(seed):
    """x ~ N(m + .3 e^s, e^{2s}) seen with noise: the pull of e^{−s} has no precision, and with it u is standard Gaussian given s. Catches:
    rounding taken for a bend, or for a precision; a field that is dropped with its matrix."""

    def drifting(params, y):
        s, away = params["s"], params["x"] - params["m"] - 0.3 * jnp.exp(params["s"])
        density = -0.5 * jnp.sum(away**2) * jnp.exp(-2 * s) - 40 * s - 0.5 * jnp.sum((y - params["x"]) ** 2)
        return density - 0.5 * s**2 - 0.5 * params["m"] ** 2

    target = mc.target(drifting, init={"x": np.zeros(40), "m": 0.0, "s": 0.0}, data={"y": COUNTS})
    found, _ = _told(target, seed=seed)
    assert sorted(c for term in found.terms for c in term.exponents.values()) == pytest.approx([1.0, 2.0])
    assert not found.given and len(found.members) == 41
    rng = np.random.default_rng(seed)
    along = hierarchical_map([found], evaluate(target, found.at + 0.3 * rng.standard_normal((64, target.dim))))
    u = rng.standard_normal((5, target.dim))
    score = evaluate(mapped(target, along), u).score
    np.testing.assert_allclose(score[:, along.moved], -u[:, along.moved], atol=1e-5)


def test_scales_of_groups_are_told_given_theirs():
    """b_gi ~ N(0, e^{2 l_g}), l_g ~ N(mu, e^{2t}). Catches: the scale of scales is taken to hold what they hold."""

    def spreads(params, y):
        scaled = params["b"] * jnp.exp(-params["l"])[:, None]
        away = (params["l"] - params["mu"]) * jnp.exp(-params["t"])
        density = -0.5 * jnp.sum(scaled**2) - 8 * jnp.sum(params["l"]) - 0.5 * jnp.sum(away**2) - 5 * params["t"]
        return density - 0.5 * params["mu"] ** 2 - 0.5 * params["t"] ** 2 - 0.5 * jnp.sum((y - params["b"]) ** 2)

    init = {"b": np.zeros((5, 8)), "l": np.zeros(5), "mu": 0.0, "t": 0.0}
    target = mc.target(spreads, init=init, data={"y": COUNTS.reshape(5, 8)})
    found, _ = _told(target)
    assert [target.names[i] for i in found.given] == ["t"] and len(found.members) == 40
    assert sorted(target.names[j] for j in found.scales) == [f"l[{g}]" for g in range(5)]


def test_a_step_beyond_a_wall_hides_no_scale():
    """The counts' scores are finite only where h > 0, and one step of h is not there. Catches: what is not finite is the size of all else."""

    def walled(params, y):
        mean = jnp.exp(params["b"]) * jnp.sqrt(params["h"])
        prior = -0.5 * jnp.sum(params["b"] ** 2) * jnp.exp(-2 * params["s"]) - 40 * params["s"]
        return prior + jnp.sum(y * jnp.log(mean) - mean) - 0.5 * params["s"] ** 2 - params["h"] / 2

    init = {"b": np.zeros(40), "s": 0.0, "h": 0.7}
    target = mc.target(walled, init=init, data={"y": COUNTS})
    center, unit = np.linspace(-0.4, 0.3, target.dim), np.full(target.dim, 0.5)
    h = target.names.index("h")
    center[h], unit[h] = 0.5, 0.9

    def score(x):
        return np.asarray(evaluate(target, x).score)

    with np.errstate(all="ignore"):
        near = scores_near(score, center, unit)
        found = sequences(score, center, unit, near)
    assert not np.all(np.isfinite(near.back[h])) and np.all(np.isfinite(near.forth[h]))
    assert len(found[target.names.index("s")].touched) == 40


def test_sets_hold_no_two_that_touch():
    """A graph at random, some 6 others each. The reverse, that few sets are made, is what a walk shows."""
    rng = np.random.default_rng(1)
    touch = rng.random((60, 60)) < 0.05
    touch = touch | touch.T | np.eye(60, dtype=bool)
    sets = together.apart(touch, np.arange(3, 60))
    assert sorted(np.concatenate(sets)) == list(range(3, 60))
    assert all(np.array_equal(touch[np.ix_(own, own)], np.eye(len(own), dtype=bool)) for own in sets)
    sets, alone = together.told_apart(touch, [np.arange(30), np.arange(30, 60)])
    others = np.setdiff1d(np.arange(60), alone)
    assert sorted(np.concatenate(sets)) == list(range(60))
    assert all(np.all(touch[np.ix_(own, others)].sum(0) <= 1) for own in sets if len(own) > 1)
    assert all(len({i < 30 for i in own}) == 1 for own in sets)
    walk = np.abs(np.subtract.outer(np.arange(60), np.arange(60))) <= 1
    assert len(together.apart(walk, np.arange(60))) == 2
    assert len(together.told_apart(walk, [np.arange(60)])[0]) == 3


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
    sets, alone = together.told_apart(touch, classes)
    assert sorted(alone) == [24, 25, 26] and len(sets) == 6
