"""When a map of exact terms is looked for, what it costs, and whether it is kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.gaussian import Gaussian
from monochord.mapping import _hierarchy as mapping
from monochord.maps import BorderedMap, Term, Terms, hierarchical_map
from monochord.maps._small import factored
from monochord.maps._split import split_blocks
from monochord.maps._terms import _with_given
from monochord.metrics import DiagonalMetric
from monochord.targets import evaluate

GROUPS = 8
Y = np.random.default_rng(1).normal(0.4, 0.7, GROUPS)
KEY = jax.random.key(0)


def _groups(params, y, width):
    """y_g ~ N(a_g, 1), a_g ~ N(m, e^{2s}), m ~ N(0, 1), s ~ N(0, width²)."""
    density = -0.5 * jnp.sum((y - params["a"]) ** 2) - 0.5 * params["m"] ** 2 - 0.5 * (params["s"] / width) ** 2
    return density - 0.5 * jnp.exp(-2 * params["s"]) * jnp.sum((params["a"] - params["m"]) ** 2) - len(y) * params["s"]


def _target(y=Y, width=1.5):
    init = {"a": np.zeros(len(y)), "m": 0.0, "s": 0.0}
    return mc.target(_groups, init=init, data={"y": y, "width": width})


@pytest.fixture(scope="module")
def groups():
    target = _target()
    return target, _doubted(mc.fit(target, seed=3, maps=False, progress=False))


def _doubted(fit, name="start only"):
    return dataclasses.replace(fit, judgement=dataclasses.replace(fit.judgement, name=name))


def _searched(target, linear):
    return mapping.along_hierarchy(KEY, target, linear, mc.fits.Staged(), lambda _: None)


def test_all_that_is_spent_is_charged(groups, monkeypatch):
    """The scores looked at, and every fit. Catches: either left out."""
    target, linear = groups
    counts, fits = [], []
    plain = evaluate

    def counted(target, x):
        counts.append(len(x))
        return plain(target, x)

    def fitted(*given):
        made = rest(*given)
        fits.append(made[1].gradients)
        return made

    rest = mapping.fitted_rest
    monkeypatch.setattr(mapping, "evaluate", counted)
    monkeypatch.setattr(mapping, "fitted_rest", fitted)
    kept, cost = _searched(target, linear)
    assert isinstance(kept.map, BorderedMap) and len(fits) == 1
    assert cost.gradients == sum(counts) + sum(fits) and sum(counts) > 4 * target.dim


def test_a_trusted_fit_is_not_looked_at(groups):
    target, linear = groups
    trusted = _doubted(linear, "trust")
    kept, cost = _searched(target, trusted)
    assert kept is trusted and cost.gradients == 0


@pytest.mark.parametrize(
    ("verdict", "is_given", "gain", "is_kept"),
    [
        ("start only", False, -1.0, True),  # an ELBO says little of necks
        ("do not use", False, 0.0, True),
        ("do not use", False, -1.0, False),
        ("start only", True, 0.0, False),  # exact only once a coordinate is given: then it must say something
        ("start only", True, 1.0, True),
        ("do not use", True, 1.0, False),
    ],
)
def test_which_of_two_fits_is_kept(groups, monkeypatch, verdict, is_given, gain, is_kept):
    target, linear = groups
    made = _searched(target, linear)[0]
    linear = dataclasses.replace(linear, elbo=Estimate(-10.0, 0.01, 64))
    made = dataclasses.replace(_doubted(made, verdict), elbo=Estimate(-10.0 + gain, 0.01, 64))
    monkeypatch.setattr(mapping, "_best", lambda *_: (made, is_given, Cost(7)))
    kept, cost = _searched(target, linear)
    assert (kept is made) == is_kept and cost.gradients == 7


def test_a_fit_whose_trouble_lies_elsewhere_must_gain(groups, monkeypatch):
    target, linear = groups
    made = dataclasses.replace(_searched(target, linear)[0], elbo=linear.elbo)
    other = dataclasses.replace(made.map, scales=np.array([0]))  # a map that does not know of s
    made = dataclasses.replace(made, map=other)
    monkeypatch.setattr(mapping, "_best", lambda *_: (made, False, Cost(7)))
    assert linear.worst_coordinate[0] == "s"
    assert _searched(target, linear)[0] is linear


def test_a_fit_begins_at_the_marginal_of_the_scale(groups):
    """Mean and standard deviation of s by quadrature. Catches: a slice that stops too early, members that do not begin as standard."""
    target, linear = groups
    score = mapping._Counted(target)
    known = mapping._first(KEY, score, linear)
    along = hierarchical_map(known.nodes, known.points)
    start = mapping._start(score, along, known.unit)
    s = list(target.names).index("s")
    grid = np.linspace(-9.0, 6.0, 3001)
    covariance = [(1 + np.exp(2 * value)) * np.eye(GROUPS) + 1.0 for value in grid]
    density = [-0.5 * (Y @ np.linalg.solve(c, Y) + np.linalg.slogdet(c)[1]) for c in covariance]
    weight = np.exp(np.array(density) - 0.5 * (grid / 1.5) ** 2)
    mean = np.average(grid, weights=weight)
    assert abs(start.mean[s] - mean) < 0.02
    assert abs(start.metric.diagonal()[s] ** 0.5 - np.average((grid - mean) ** 2, weights=weight) ** 0.5) < 0.02
    np.testing.assert_array_equal(np.asarray(start.metric.diagonal())[along.moved], 1.0)
    assert mapping._is_exact(KEY, score, along, start)
    x = np.asarray(linear.draws.x)[:5]
    precision = (
        np.exp(-2 * (x[:, s] - along.center[s]))[:, None] * np.asarray(along.precision)[1, :, 0, 0]
        + np.asarray(along.precision)[0, :, 0, 0]
    )
    np.testing.assert_allclose(along.log_spreads(x)[:, :GROUPS], -0.5 * np.log(precision))


def test_what_only_holds_at_one_place_is_no_term():
    """e^{−2s} y² (1 + a b): linear in each of a and b alone. And scales of which a likelihood that is not Gaussian makes the rest."""

    def log_density(params):
        own = jnp.sum(params["y"] ** 2) * (1.2 + params["a"] * params["b"]) * jnp.exp(-2 * params["s"])
        return -0.5 * own - 0.5 * (params["a"] ** 2 + params["b"] ** 2 + params["s"] ** 2 + jnp.sum(params["y"] ** 2))

    target = mc.target(log_density, init={"a": 0.0, "b": 0.0, "s": 0.0, "y": np.zeros(6)})
    score = mapping._Counted(target)
    found = mapping.found_terms(score, np.zeros(target.dim), np.full(target.dim, 0.5), np.random.default_rng(0))
    assert found is None or found.given


def test_effects_of_counts_are_members_and_no_scales():
    """20 groups of 4 with two covariates: along each effect scores change as geometrically as along its scale."""
    rng = np.random.default_rng(41)
    g, x = np.repeat(np.arange(20), 4), rng.normal(size=(80, 2))
    y = rng.poisson(np.exp(0.5 + x @ np.full(2, 0.3)))

    def log_density(params, x, y):
        rate = params["m"] + x @ params["b"] + params["a"][g]
        prior = -0.5 * jnp.sum(params["a"] ** 2) * jnp.exp(-2 * params["s"]) - 20 * params["s"] - 0.5 * params["s"] ** 2
        return jnp.sum(y * rate - jnp.exp(rate)) + prior - 0.5 * params["m"] ** 2 - 0.5 * jnp.sum(params["b"] ** 2)

    target = mc.target(
        log_density, init={"a": np.zeros(20), "b": np.zeros(2), "m": 0.0, "s": 0.0}, data={"x": x, "y": y}
    )
    linear = _doubted(mc.fit(target, seed=0, maps=False, progress=False))
    score = mapping._Counted(target)
    known = mapping._first(KEY, score, linear)
    assert [target.names[j] for j in known.nodes[0].scales] == ["s"] and len(known.nodes[0].members) == 20
    along = hierarchical_map(known.nodes, known.points)
    assert not mapping._is_exact(KEY, score, along, mapping._start(score, along, known.unit))


def test_a_map_that_ends_before_the_posterior_is_not_kept():
    """s ~ N(0, 10²): where s is below −18 double precision no longer tells the mean of the groups from them. Catches: a wall there."""
    target = _target(width=10.0)
    linear = _doubted(mc.fit(target, seed=0, maps=False, progress=False))
    kept, cost = _searched(target, linear)
    assert kept is linear and cost.gradients > 0


def test_a_scale_that_is_known_very_well():
    """The noise of 40,000 observations beside 8 groups. Catches: a grid that no place of the posterior lies on."""
    rng = np.random.default_rng(0)
    sums = rng.normal(0.0, 0.6, GROUPS)

    def log_density(params, sums):
        square = 39_990.0 + jnp.sum((sums - params["a"]) ** 2)
        density = -0.5 * square * jnp.exp(-2 * params["noise"]) - 40_000 * params["noise"]
        return (
            density
            - 0.5 * jnp.sum(params["a"] ** 2) * jnp.exp(-2 * params["s"])
            - GROUPS * params["s"]
            - 0.5 * params["s"] ** 2
        )

    target = mc.target(log_density, init={"a": np.zeros(GROUPS), "noise": 0.0, "s": 0.0}, data={"sums": sums})
    linear = _doubted(mc.fit(target, seed=0, maps=False, progress=False))
    score = mapping._Counted(target)
    known = mapping._first(KEY, score, linear)
    start = mapping._start(score, hierarchical_map(known.nodes, known.points), known.unit)
    noise = list(target.names).index("noise")
    assert start is not None
    assert start.metric.diagonal()[noise] ** 0.5 == pytest.approx(1 / np.sqrt(80_000), rel=0.05)


def test_the_noise_of_a_small_regression_asks_for_no_map():
    """Two coefficients, 16 observations: log sigma moves by .2. Catches: maps, which few receivers of a metric can be handed, of such models."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((16, 2))

    def log_density(params, x, y):
        square = jnp.sum((y - x @ params["b"]) ** 2)
        return -0.5 * square * jnp.exp(-2 * params["s"]) - 16 * params["s"] - 0.5 * jnp.sum(params["b"] ** 2) / 100

    target = mc.target(
        log_density, init={"b": np.zeros(2), "s": 0.0}, data={"x": x, "y": x @ [1.0, 2.0] + rng.standard_normal(16)}
    )
    linear = _doubted(mc.fit(target, seed=0, maps=False, progress=False))
    score = mapping._Counted(target)
    known = mapping._first(KEY, score, linear)
    assert len(known.nodes[0].members) == 2
    assert mapping._start(score, hierarchical_map(known.nodes, known.points), known.unit) is None


def test_an_error_in_the_second_round_leaves_the_first(groups, monkeypatch):
    target, linear = groups
    calls = []

    def once(*given):
        calls.append(1)
        if len(calls) > 1:
            raise np.linalg.LinAlgError("singular")
        return hierarchical_map(*given)

    monkeypatch.setattr(mapping, "hierarchical_map", once)
    monkeypatch.setattr(mapping, "_leaves", lambda *_: True)
    kept, cost = _searched(target, linear)
    assert isinstance(kept.map, BorderedMap) and len(calls) == 2 and cost.gradients > 4 * target.dim


def test_a_second_round_looks_where_the_map_has_led(groups):
    target, linear = groups
    score = mapping._Counted(target)
    known = mapping._first(KEY, score, linear)
    x = np.asarray(linear.draws.x) + 1.0
    again = mapping._again(KEY, score, known, x)
    np.testing.assert_allclose(again.nodes[0].at, x.mean(0))
    np.testing.assert_allclose(again.nodes[0].rest, known.nodes[0].rest, atol=1e-6)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), mc.ModelError("it raised"), np.linalg.LinAlgError("singular")])
def test_what_stops_the_search_leaves_the_fit(groups, monkeypatch, stop):
    """And what was spent until then is charged."""
    target, linear = groups

    def stops(score, center, *_):
        score(np.tile(center, (5, 1)))
        raise stop

    monkeypatch.setattr(mapping, "found_terms", stops)
    kept, cost = _searched(target, linear)
    assert kept is linear and cost.gradients == 5


def test_a_search_stops_at_its_limit(groups, monkeypatch):
    target, linear = groups
    monkeypatch.setattr(mapping, "MOST_EACH", 0)
    monkeypatch.setattr(mapping, "allowance", lambda _: 30)
    kept, cost = _searched(target, linear)
    assert kept is linear and cost.gradients <= 30


def test_what_is_too_dear_to_factorise_is_left():
    linked = np.ones((150, 150), bool)
    assert split_blocks(np.eye(150) + 1.0, linked) is None
    assert split_blocks(np.eye(60) + 1.0, linked[:60, :60]) is not None


def test_a_start_of_all_coordinates_is_none_of_the_rest(groups):
    """Catches: the Gaussian given for the whole target handed to the fit of its scale alone."""
    target, _ = groups
    start = mc.Gaussian(np.zeros(target.dim), mc.metrics.DiagonalMetric(np.ones(target.dim)))
    fit = mc.fit(target, seed=3, start=start, progress=False)
    assert fit.gaussian is not None


def test_terms_that_only_a_given_scale_told_apart_are_one():
    one, other = np.diag([0.0, 2.0, 0.0]), np.diag([0.0, 3.0, 0.0])
    terms = (Term({0: 2.0}, one, np.array([0.0, 1.0, 0.0])), Term({0: 2.0, 2: 1.0}, other, np.array([0.0, 4.0, 0.0])))
    found = _with_given(Terms(np.zeros(3), terms, (), np.zeros((3, 3)), np.ones((3, 3), bool)), 2)
    assert found.given == (2,) and [term.exponents for term in found.terms] == [{0: 2.0}]
    np.testing.assert_array_equal(found.terms[0].precision, one + other)
    np.testing.assert_array_equal(found.terms[0].field, [0.0, 5.0, 0.0])


def test_one_precision_that_is_none_leaves_the_others():
    good = np.diag([2.0, 3.0])
    factors = factored(np.array([good, -good, 4.0 * good]))
    np.testing.assert_allclose(factors[[0, 2]], np.sqrt([good, 4.0 * good]))
    assert np.all(np.isnan(factors[1]))


def test_what_was_told_deep_in_a_neck_is_told_again(monkeypatch):
    """Scales between 0 and 10 whose logits are free: 1/σ² = (1 + 2 e^{−s} + e^{−2s})/100, of which the linear fit, at σ = 1e-4 or less, shows the last
    term alone, to one part in a million, and nothing of the likelihood beside it. Catches: a map that is right there only, also where its own fit sees nothing amiss."""

    def log_density(params, y):
        scale, noise = 10.0 * jax.nn.sigmoid(params["s"]), 10.0 * jax.nn.sigmoid(params["n"])
        away, seen = (params["a"] - params["m"]) / scale, (y - params["a"][:, None]) / noise
        density = -0.5 * jnp.sum(away**2) - 0.5 * jnp.sum(seen**2) - 8 * jnp.log(scale) - 32 * jnp.log(noise)
        walls = sum(jax.nn.log_sigmoid(params[key]) + jax.nn.log_sigmoid(-params[key]) for key in ("s", "n"))
        return density + walls - 0.5 * (params["m"] / 10.0) ** 2

    rng = np.random.default_rng(1)
    y = rng.normal(rng.normal(2.0, 0.4, (8, 1)), 1.0, (8, 4))
    target = mc.target(log_density, init={"a": np.zeros(8), "m": 0.0, "s": 0.0, "n": 0.0}, data={"y": y})
    s, n = target.names.index("s"), target.names.index("n")
    mean, deviation = np.full(target.dim, y.mean()), np.full(target.dim, 1e-4)
    mean[[s, n]], deviation[[s, n]] = (-11.5, -2.3), (0.2, 0.1)
    algorithm = mc.fits.Given(Gaussian(mean, DiagonalMetric(deviation)))
    deep = mc.fit(target, algorithm=algorithm, seed=0, maps=False, progress=False)
    deep = dataclasses.replace(deep, status=mc.fits.FitStatus.settled)
    known = mapping._first(KEY, mapping._Counted(target), deep)
    assert mapping._is_lost(known.nodes[0])
    monkeypatch.setattr(mapping, "_leaves", lambda *given: False)
    kept, _ = _searched(target, _doubted(deep))
    assert sorted(np.round(np.asarray(kept.map.exponents)[1:, 0], 6)) == [0.0, 0.0, 1.0, 2.0]
    assert kept.score_residual.value < 0.1
