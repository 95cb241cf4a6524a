"""A fit in a file: the same bits come back, damage is named, and an older file survives a failed write."""

import dataclasses
import enum
import io
import json
import math
import os
import zipfile

import equinox as eqx
import numpy as np
import pytest

import monochord as mc
from monochord.errors import DataError, OptionError, OutputError
from monochord.fits import FitStatus, Mode
from monochord.maps import ConditionalMap
from monochord.testing import funnel_target, gaussian_target

DIM = 5


@pytest.fixture(scope="module")
def target():
    scale = np.geomspace(1e-3, 1e3, DIM)
    correlation = 0.6 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM)))
    return gaussian_target(scale * 0.7, correlation * np.outer(scale, scale))


@pytest.fixture(scope="module")
def fit(target):
    return mc.fit(target, seed=3)


@pytest.fixture
def path(fit, tmp_path):
    return fit.save(tmp_path / "fit.npz")


def same(left, right, where="fit"):
    """Assert equality bit for bit, through dataclasses, tuples, modules and arrays."""
    assert type(left) is type(right), where
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and left.shape == right.shape, where
        assert left.tobytes("A") == right.tobytes("A"), where
        assert left.flags.f_contiguous == right.flags.f_contiguous, where  # matrix products may round differently
    elif isinstance(left, enum.Enum):
        assert left is right, where
    elif dataclasses.is_dataclass(left) or isinstance(left, eqx.Module):
        for field in dataclasses.fields(left):
            if field.name != "state":
                same(getattr(left, field.name), getattr(right, field.name), f"{where}.{field.name}")
    elif isinstance(left, tuple):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            same(*pair, f"{where}[{index}]")
    elif isinstance(left, float) and math.isnan(left):
        assert math.isnan(right), where
    else:
        assert left == right, where


@pytest.mark.parametrize("family", [None, "diagonal", "dense", "low_rank"])
def test_round_trip_is_identical(target, tmp_path, family):
    fit = mc.fit(target, seed=1, family=family)
    loaded = mc.load(fit.save(tmp_path / "a.npz"))
    same(fit, loaded)
    same(fit.draws, loaded.draws)
    assert str(fit) == str(loaded)


def test_what_a_plain_fit_lacks_comes_back_too(fit, tmp_path):
    """Modes, numbers that JSON has no word for, and a fit without a Gaussian."""
    odd = mc.Estimate(math.nan, math.inf, 3)
    step = dataclasses.replace(fit.trace[0], best_log_density=-math.inf, elbo=None)
    mode = Mode(np.arange(DIM) * 0.1, mc.Estimate(-3.5, math.nan, 8), 0.25)
    rich = dataclasses.replace(
        fit, pareto_k=odd, modes=(mode,), trace=(step, *fit.trace), seed=2**62 + 1, gain_over_identity=odd,
        worst_coordinate=None, status=FitStatus.max_steps,
    )  # fmt: skip
    same(rich, mc.load(rich.save(tmp_path / "rich.npz")))
    empty = dataclasses.replace(
        rich, gaussian=None, elbo=None, score_residual=None, choices=(), state=None, status=FitStatus.no_finite_start
    )
    same(empty, mc.load(empty.save(tmp_path / "empty.npz")))


@pytest.fixture(scope="module")
def along():
    """A target that needs a map, and its fit along one that is learned: a funnel's terms would be told exactly (`test_file_maps.py`)."""
    target = funnel_target(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monochord.mapping._hierarchy.MAX_DIM", 0)
        fit = mc.fit(target, seed=0, maps=True)
    assert isinstance(fit.map, ConditionalMap)
    return target, fit


def test_a_map_comes_back_bit_for_bit(along, tmp_path):
    """And so does a run along it: the loaded map compiles to the same program."""
    target, fit = along
    loaded = mc.load(fit.save(tmp_path / "a.npz"))
    same(fit, loaded)
    same(fit.draws, loaded.draws)
    runs = [mc.sample(target, fit=f, seed=5, chains=2, draws=20, kernel="nuts") for f in (fit, loaded)]
    first, second = (run["unconstrained_posterior"]["x"].values for run in runs)
    assert first.tobytes() == second.tobytes()


def test_the_map_is_what_the_schema_says(along, tmp_path):
    """T(u) by the formulas of SCHEMA.md, read without Monochord."""
    path = along[1].save(tmp_path / "a.npz")
    with zipfile.ZipFile(path) as archive:
        depth = json.loads(archive.read("fit.json"))["map"]["depth"]
    file = np.load(path)
    m = {name.removeprefix("map."): file[name] for name in file.files if name.startswith("map.")}
    u = file["draws.x"]
    x = u.copy()
    for level in range(1, depth + 1):
        for i in np.flatnonzero(m["level"] == level):
            j = m["drivers"][i]
            z = (x[:, j] - m["center"][j]) / m["unit"][j]
            w1 = np.exp(-2 * (m["log_scale"][i] + z @ m["scale"][i]))
            w2 = np.exp(-2 * (m["other_log_scale"][i] + z @ m["other_scale"][i]))
            place = m["offset"][i] + z @ m["location"][i] + z**2 @ m["curvature"][i]
            x[:, i] = (w1 * place + w2 * m["other_place"][i]) / (w1 + w2) + u[:, i] / np.sqrt(w1 + w2)
    np.testing.assert_allclose(x, along[1].map.place(u), rtol=1e-9)
    assert not np.allclose(x, u)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.drivers.npy", None),
        ("map.scale.npy", lambda old: np.zeros((2, 2))),
        ("map.level.npy", lambda old: old.astype(float)),
        ("map.drivers.npy", lambda old: old + 9),
        ("map.level.npy", lambda old: old + 1),
    ],
)
def test_a_damaged_map_is_named(along, tmp_path, name, content):
    path = along[1].save(tmp_path / "a.npz")
    content = content and npy(content(np.load(path)[name.removesuffix(".npy")]))
    with pytest.raises(DataError, match="is damaged"):
        mc.load(rewritten(path, name, content))


def test_an_unknown_map_is_named(along, tmp_path):
    with pytest.raises(DataError, match="map kind 'spiral'"):
        mc.load(rewritten(along[1].save(tmp_path / "a.npz"), map={"kind": "spiral", "depth": 1}))


def test_loaded_fit_samples_as_the_fit_itself(target, fit, path):
    """Same bits in, same bits out: the chains start at the same draws, at no cost."""
    runs = [mc.sample(target, fit=f, seed=5, chains=2, draws=20, kernel="nuts") for f in (fit, mc.load(path))]
    draws = [run["unconstrained_posterior"]["x"].values for run in runs]
    assert draws[0].tobytes() == draws[1].tobytes()
    costs = [{k: v for k, v in run["sample_stats"].attrs.items() if k.startswith("gradients")} for run in runs]
    assert costs[0] == costs[1]


def test_same_fit_gives_the_same_bytes(fit, path, tmp_path):
    assert path.read_bytes() == mc.load(path).save(tmp_path / "again.npz").read_bytes()


def test_numpy_and_any_json_reader_see_the_schema(fit, path):
    """The fields that SCHEMA.md promises, read without Monochord."""
    with zipfile.ZipFile(path) as archive:
        head = json.loads(archive.read("fit.json"), parse_constant=pytest.fail)
    assert (head["format"], head["version"], head["dim"]) == ("monochord-fit", 1, DIM)
    arrays = np.load(path)
    assert head["metric"] == "dense"
    factor = arrays["metric.factor"]
    np.testing.assert_array_equal(factor @ factor.T, fit.gaussian.metric.dense())


def rewritten(path, name=None, content=None, **head):
    """The archive with one member replaced (or dropped where `content` is None) or fields of its head changed."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    if name is not None:
        members[name] = content
    if head:
        members["fit.json"] = json.dumps(json.loads(members["fit.json"]) | head).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for entry, value in members.items():
            if value is not None:
                archive.writestr(entry, value)
    return path


def npy(array, **options) -> bytes:
    part = io.BytesIO()
    np.save(part, array, **options)
    return part.getvalue()


def test_other_versions_and_formats_are_named(path):
    with pytest.raises(DataError, match="version 7 .* reads version 1"):
        mc.load(rewritten(path, version=7))
    with pytest.raises(DataError, match="not of the format `monochord-fit`"):
        mc.load(rewritten(path, format="another"))


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        mc.load(tmp_path / "nowhere.npz")
    with pytest.raises(DataError, match="does not exist"):
        mc.load(tmp_path)
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    with pytest.raises(DataError, match="no NPZ file"):
        mc.load(text)
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(DataError, match="NPZ of something else"):
        mc.load(tmp_path / "other.npz")


DAMAGE = {
    "array_missing": ("metric.factor.npy", None),
    "array_of_another_shape": ("mean.npy", npy(np.ones(DIM + 1))),
    "array_of_another_type": ("mean.npy", npy(np.ones(DIM, np.float32))),
    "array_of_objects": ("mean.npy", npy(np.array([{}] * DIM), allow_pickle=True)),
    "no_array": ("mean.npy", b"not numpy"),
    "no_json": ("fit.json", b"{"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(path, name):
    with pytest.raises(DataError, match="is damaged"):
        mc.load(rewritten(path, *DAMAGE[name]))


@pytest.mark.parametrize(
    "head", [{"names": ["a"]}, {"status": "unheard of"}, {"metric": "round"}, {"elbo": {"value": 1.0}}, {"dim": "x"}]
)
def test_a_damaged_head_is_named(path, head):
    with pytest.raises(DataError, match="is damaged"):
        mc.load(rewritten(path, **head))


def test_flipped_and_lost_bytes_are_found(path):
    """Every byte of the arrays is under a checksum; a file that was cut short has no directory."""
    whole = path.read_bytes()
    place = whole.index(b"draws.score.npy") + 400
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(DataError, match="is damaged"):
        mc.load(path)
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="cut short"):
        mc.load(path)


def test_an_older_file_survives(fit, path, monkeypatch):
    with pytest.raises(OutputError, match="exists"):
        fit.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        fit.save(path, force=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_foreign_metric_is_refused_before_anything_is_written(fit, tmp_path):
    class Foreign(mc.DenseMetric.__mro__[1]):
        base: mc.DenseMetric
        dim = property(lambda self: self.base.dim)
        whiten = unwhiten = whiten_covector = unwhiten_covector = lambda self, x: x
        log_det = diagonal = precision_diagonal = dense = lambda self: 0.0

    foreign = mc.Gaussian(fit.gaussian.mean, Foreign(fit.gaussian.metric))
    with pytest.raises(OptionError, match="cannot be saved"):
        dataclasses.replace(fit, gaussian=foreign).save(tmp_path / "f.npz")
    assert not list(tmp_path.iterdir())
