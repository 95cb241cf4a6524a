"""Radial, block, bordered, Cholesky, tail and scaled maps in files: what SCHEMA.md says is what is there, and damage is named."""

import dataclasses
import io
import itertools
import zipfile

import numpy as np
import pytest
from scipy import stats

import monochord as mc
from monochord.errors import DataError
from monochord.maps import BlockMap, BorderedMap, CholeskyMap, NodedMap, RadialMap, ScaledMap, TailMap
from monochord.metrics import DenseMetric
from monochord.testing import gaussian_target

DIM = 5
COVARIANCE = 0.6 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM))) * np.outer(
    *[np.geomspace(0.1, 10, DIM)] * 2
)


@pytest.fixture(scope="module")
def fit():
    """Any fit: the maps are put into it by hand."""
    return mc.fit(gaussian_target(np.zeros(DIM), COVARIANCE), seed=0, progress=False)


def _radial() -> RadialMap:
    return RadialMap.student(np.linspace(-1.0, 2.0, DIM), DenseMetric.from_covariance(COVARIANCE), 0.2, 4.0)


def _block() -> BlockMap:
    precision = np.zeros((2, 2, 2, 2))
    precision[0] = np.eye(2)
    precision[1, 0], precision[1, 1, 0, 0] = np.array([[2.0, 0.5], [0.5, 1.0]]), 3.0
    shift = np.random.default_rng(1).standard_normal((2, 2, 2, 2))
    shift[:, 1, 1] = 0.0
    return BlockMap(
        np.array([[0, 1], [3, DIM]]), np.array([2]), np.array([4]), np.linspace(0.0, 1.0, DIM), np.linspace(1.0, 2.0, DIM),
        np.array([[0.0], [0.4]]), precision, shift,
    )  # fmt: skip


def _bordered() -> BorderedMap:
    """A pair, a single coordinate, a border of one, and one scale."""
    rng = np.random.default_rng(4)
    precision = np.zeros((2, 2, 2, 2))
    precision[0] = np.array([[[3.0, 0.4], [0.4, 2.0]], [[1.5, 0.0], [0.0, 1.0]]])
    precision[1, 0], precision[1, 1, 0, 0] = np.array([[2.0, 0.5], [0.5, 1.0]]), 3.0
    coupling, pull = 0.3 * rng.standard_normal((2, 2, 2, 1)), rng.standard_normal((2, 2, 2))
    coupling[:, 1, 1] = pull[:, 1, 1] = 0.0
    return BorderedMap(
        np.array([[0, 1], [3, DIM]]), np.array([4]), np.array([2]), np.linspace(0.0, 1.0, DIM), np.array([[0.0], [1.3]]), precision,
        coupling, np.array([[[4.0]], [[3.0]]]), pull, rng.standard_normal((2, 1)),
    )  # fmt: skip


def test_a_bordered_map_is_what_the_schema_says(fit, tmp_path):
    path = dataclasses.replace(fit, map=_bordered()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    for row in fit.draws.x[:20]:
        weights = np.exp(-m["exponents"] @ (row - m["center"])[m["scales"]])

        def weighed(name, *at, weights=weights):
            return np.tensordot(weights, m[name][:, *at], 1)

        factors = [np.linalg.cholesky(weighed("precision", b)) for b in range(2)]
        turned = [np.linalg.solve(factors[b], weighed("coupling", b)) for b in range(2)]
        pulled = [np.linalg.solve(factors[b], weighed("pull", b)) for b in range(2)]
        own = np.linalg.cholesky(weighed("border_precision") - sum(a.T @ a for a in turned))
        left = weighed("border_pull") - sum(a.T @ g for a, g in zip(turned, pulled, strict=True))
        x, border = row.copy(), m["border"]
        moved = np.linalg.solve(own.T, row[border] + np.linalg.solve(own, left))
        x[border] = m["center"][border] + moved
        for b, members in enumerate(m["members"]):
            here = members < DIM
            inner = np.where(here, row[np.minimum(members, DIM - 1)], 0.0) + pulled[b] - turned[b] @ moved
            x[members[here]] = m["center"][members[here]] + np.linalg.solve(factors[b].T, inner)[here]
        np.testing.assert_allclose(mc.load(path).map.place(row), x, rtol=1e-9)


def _noded() -> NodedMap:
    """Given coordinate 3, which `_bordered` has in a block, so in one of its own."""
    one = _bordered()
    members = np.array([[0, 1], [DIM, DIM]])
    precision = one.precision.copy()
    precision[:, 1] = np.array([np.eye(2), np.zeros((2, 2))])
    apart = np.array([True, False])[:, None, None]
    alone = dataclasses.replace(
        one, members=members, precision=precision, coupling=one.coupling * apart, pull=one.pull * apart[..., 0]
    )
    stiffer = dataclasses.replace(alone, border_precision=2.0 * one.border_precision, pull=2.0 * alone.pull)
    return NodedMap.of(3, 0.8, [alone, stiffer, alone])


def test_a_noded_map_is_what_the_schema_says(fit, tmp_path):
    """By the bordered maps of its nodes, whose own form has a test above."""
    along = _noded()
    path = dataclasses.replace(fit, map=along).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    for row in fit.draws.x[:20]:
        t = 1.5 * (1 + np.tanh((row[m["given"][0]] - m["center"][m["given"][0]]) / m["reach"])) - 0.5
        i = min(max(round(t), 0), 2)
        r = t - i
        nodes = [min(max(i + k, 0), 2) for k in (-1, 0, 1)]
        shares = 0.5 * (0.5 - r) ** 2, 0.75 - r**2, 0.5 * (0.5 + r) ** 2
        wanted = sum(share * along.at_node(n).place(row) for share, n in zip(shares, nodes, strict=True))
        np.testing.assert_allclose(mc.load(path).map.place(row), wanted, rtol=1e-12)


def _cholesky() -> CholeskyMap:
    rng = np.random.default_rng(2)
    return CholeskyMap(
        np.array([0, 2, 4]), np.array([3, 1]), np.linspace(0.0, 1.0, DIM), np.linspace(1.0, 2.0, DIM),
        rng.standard_normal((6, 3)), rng.standard_normal((3, 3)), 0.2 * rng.standard_normal((3, 3)),
    )  # fmt: skip


def test_a_radial_map_is_what_the_schema_says(fit, tmp_path):
    """By SciPy's laws of χ² and F. The spline through quantiles is good to 1e-8."""
    path = dataclasses.replace(fit, map=_radial()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    u = fit.draws.x[:20]
    u = u[np.sum(u**2, axis=1) < stats.chi2(DIM).isf(1e-10)]  # quantiles to full precision
    square = np.sum(u**2, axis=1)
    radius = np.sqrt(DIM * stats.f(DIM, m["degrees"]).isf(stats.chi2(DIM).sf(square)))
    x = m["mean"] + np.exp(m["log_scale"]) * (radius / np.sqrt(square))[:, None] * u @ m["metric_factor"].T
    along = mc.load(path).map
    assert len(u) > 3
    np.testing.assert_allclose(along.place(u), x, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(along.place(u), _radial().place(u))


def test_a_block_map_is_what_the_schema_says(fit, tmp_path):
    path = dataclasses.replace(fit, map=_block()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    u = fit.draws.x[:20]
    for row in u:
        z = (row - m["center"]) / m["unit"]
        weights = np.exp(-2 * m["exponents"] @ z[m["scale_drivers"]])
        x = row.copy()
        for b, members in enumerate(m["members"]):
            here = members < DIM
            factor = np.linalg.cholesky(np.tensordot(weights, m["precision"][:, b], 1))
            right = np.tensordot(weights, m["shift"][:, b], 1) @ np.append(1.0, z[m["drivers"]])
            inner = np.where(here, row[np.minimum(members, DIM - 1)], 0.0)
            place = np.linalg.solve(factor @ factor.T, right) + np.linalg.solve(factor.T, inner)
            x[members[here]] = (
                m["center"][np.minimum(members, DIM - 1)] + m["unit"][np.minimum(members, DIM - 1)] * place
            )[here]
        np.testing.assert_allclose(mc.load(path).map.place(row), x, rtol=1e-9)


def test_a_cholesky_map_is_what_the_schema_says(fit, tmp_path):
    path = dataclasses.replace(fit, map=_cholesky()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    width = len(m["members"])
    for row in fit.draws.x[:20]:
        w = 3 * np.tanh(((row - m["center"]) / m["unit"])[m["drivers"]] / 3)
        phi = [np.prod(w[list(of)]) for d in range(3) for of in itertools.combinations_with_replacement(range(2), d)]
        fewer = np.array(phi[: len(m["ties"])])
        triangle = np.eye(width)
        triangle[[1, 2, 2], [0, 0, 1]] = fewer @ m["ties"]
        x = row.copy()
        moved = np.array(phi) @ m["location"] + triangle @ (np.exp(fewer @ m["log_scale"]) * row[m["members"]])
        x[m["members"]] = m["center"][m["members"]] + m["unit"][m["members"]] * moved
        np.testing.assert_allclose(mc.load(path).map.place(row), x, rtol=1e-10)


def _tail() -> TailMap:
    return TailMap.of(
        np.linspace(-1.0, 2.0, DIM), np.linspace(0.5, 2.0, DIM), np.linspace(-0.5, 0.9, DIM), np.linspace(0.4, 1.5, DIM),
        np.linspace(0.2, 1.1, DIM), np.array([np.inf, 3.0, np.inf, 8.0, np.inf]),
    )  # fmt: skip


def test_a_tail_map_is_what_the_schema_says(fit, tmp_path):
    """By SciPy's Student-t law, where degrees are finite."""
    path = dataclasses.replace(fit, map=_tail()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    u = fit.draws.x[:20] / fit.draws.x.std(0)
    v = np.where(
        np.isfinite(m["degrees"]),
        -np.sign(u) * stats.t(np.minimum(m["degrees"], 1e6)).ppf(stats.norm.cdf(-np.abs(u))),
        u,
    )
    x = m["loc"] + m["scale"] * np.sinh((np.arcsinh(m["reach"] * v) + m["skewness"]) / m["tail"])
    along = mc.load(path).map
    np.testing.assert_allclose(along.place(u), x, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(along.place(u), _tail().place(u))


def _scaled() -> ScaledMap:
    return ScaledMap(
        np.array([0, 2]), np.array([[1, 3], [4, 3]]), np.array([[1.0, 0.5], [0.8, 0.2]]), np.linspace(0.0, 1.0, DIM), np.array([1.0, 2.0]),
        np.array([3.0, 0.4]), np.array([-1.0, 0.7]), np.array([np.inf, np.inf, np.inf, 0.3, np.inf]), np.array([0.0, 1.0]),
    )  # fmt: skip


def test_a_scaled_map_is_what_the_schema_says(fit, tmp_path):
    path = dataclasses.replace(fit, map=_scaled()).save(tmp_path / "a.npz")
    m = {name.removeprefix("map."): array for name, array in np.load(path).items() if name.startswith("map.")}
    u = fit.draws.x[:20]
    x = u.copy()
    for r, i in enumerate(m["children"]):
        multipliers = m["multipliers"][r]
        least = -np.log(np.exp(-3 * u[:, multipliers]) + np.exp(-3 * m["edge"][multipliers])) / 3
        e = np.exp((least - m["center"][multipliers]) @ m["slopes"][r])
        variance = 1 / (m["prior"][r] + m["growth"][r] * e**2)
        whole = np.exp(m["power"][r] * u[:, multipliers].sum(1))
        x[:, i] = whole * (variance * m["pull"][r] * e + np.sqrt(variance) * u[:, i])
    np.testing.assert_allclose(mc.load(path).map.place(u), x, rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "name", "change"),
    [
        (_scaled, "map.multipliers", lambda old: old * 0),
        (_scaled, "map.pull", lambda old: old[:1]),
        (_radial, "map.degrees", lambda old: -old),
        (_radial, "map.metric_factor", lambda old: old[:2]),
        (_block, "map.members", lambda old: old + 1),
        (_block, "map.drivers", lambda old: old + 9),
        (_block, "map.shift", lambda old: old[:, :, :1]),
        (_bordered, "map.members", lambda old: old + 1),
        (_bordered, "map.border", lambda old: old * 0),
        (_bordered, "map.border", lambda old: old - 9),
        (_bordered, "map.scales", lambda old: old + 2),
        (_bordered, "map.scales", lambda old: old - 9),
        (_bordered, "map.coupling", lambda old: old[:, :, :, :0]),
        (_bordered, "map.border_pull", lambda old: old[:1]),
        (_noded, "map.given", lambda old: old * 0),
        (_noded, "map.reach", lambda old: -old),
        (_noded, "map.pull", lambda old: old[:2]),
        (_cholesky, "map.drivers", lambda old: old - 1),
        (_cholesky, "map.drivers", lambda old: old + 3),
        (_cholesky, "map.location", lambda old: old[:5]),
        (_cholesky, "map.ties", lambda old: old[:, :2]),
        (_tail, "map.scale", lambda old: -old),
        (_tail, "map.reach", lambda old: old[:2]),
    ],
)
def test_a_damaged_map_is_named(fit, tmp_path, make, name, change):
    path = dataclasses.replace(fit, map=make()).save(tmp_path / "a.npz")
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    buffer = io.BytesIO()
    np.save(buffer, change(np.load(io.BytesIO(parts[f"{name}.npy"]))))
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in (parts | {f"{name}.npy": buffer.getvalue()}).items():
            archive.writestr(part, content)
    with pytest.raises(DataError, match="is damaged"):
        mc.load(path)
