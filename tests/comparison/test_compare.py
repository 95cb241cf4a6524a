"""The three starts side by side: closed forms on a Gaussian, honesty on a funnel, rows and files."""

import csv
import dataclasses
import sys

import numpy as np
import pytest

import monochord as mc
from monochord.comparison import COLUMNS, DRAWS, METRICS, Row
from monochord.comparison._dual_averaging import begun, stan_scales, updated, window_ends
from monochord.comparison._early import settled
from monochord.testing import funnel_target, gaussian_target

DIM = 8


@pytest.fixture(scope="module")
def covariance():
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0]
    return (rotation / np.geomspace(1.0, 400.0, DIM)) @ rotation.T


@pytest.fixture(scope="module")
def gaussian(covariance):
    """A comparison on a Gaussian of κ 400, against independent draws of it."""
    mean = np.linspace(-1.0, 2.0, DIM)
    draws = np.random.default_rng(2).multivariate_normal(mean, covariance, size=20_000)
    return mc.compare(gaussian_target(mean, covariance), seeds=2, seed=4, chains=2, reference=draws, progress=False)


@pytest.fixture(scope="module")
def funnel():
    """A comparison on a funnel, against independent draws of it."""
    rng = np.random.default_rng(3)
    target = funnel_target(6)
    v = 3.0 * rng.standard_normal(20_000)
    is_v = np.array([name == "v" for name in target.names])
    draws = np.empty((len(v), 6))
    draws[:, is_v], draws[:, ~is_v] = v[:, None], np.exp(v / 2)[:, None] * rng.standard_normal((len(v), 5))
    return mc.compare(target, seeds=2, seed=0, chains=2, reference=draws, progress=False)


def test_spectra_and_steps_match_closed_forms(gaussian, covariance):
    """κ, κ_L, and the largest stable step within 1 % of 2/ω_max, for all three metrics.

    Catches: spectra of one metric under another's name, a step in another metric's units.
    """
    sd = np.sqrt(np.diag(covariance))
    matrices = {"identity": covariance, "diagonal": covariance / np.outer(sd, sd), "variational": np.eye(DIM)}
    tolerance = {
        "identity": 1e-6,
        "diagonal": 0.05,
        "variational": 1e-3,
    }  # the diagonal's sds are those of 20,000 draws
    for metric, whitened in matrices.items():
        precisions = 1 / np.linalg.eigvalsh(whitened)
        close = {"rel": tolerance[metric]}
        assert gaussian.values(metric, "kappa") == pytest.approx([precisions.max() / precisions.min()] * 2, **close)
        langmore = np.sum((precisions / precisions.min()) ** 2) ** 0.25
        assert gaussian.values(metric, "kappa_langmore") == pytest.approx([langmore] * 2, **close)
        for field in ("stable_step", "stable_step_median"):
            found = gaussian.values(metric, field)
            np.testing.assert_allclose(found, gaussian.values(metric, "step_limit"), rtol=0.01)
        np.testing.assert_allclose(found, 2 / np.sqrt(precisions.max()), rtol=0.01 + tolerance[metric])
    gain = gaussian.values("variational", "stable_step") / gaussian.values("identity", "stable_step")
    np.testing.assert_allclose(gain, np.sqrt(1 / np.linalg.eigvalsh(covariance).min()), rtol=0.02)


def test_variational_start_helps_a_gaussian(gaussian):
    """κ_L falls from 20 or more to d^¼, steps and early draws follow. Catches: a ratio turned round."""
    assert gaussian.status == "complete"
    spread = [outcome for outcome in gaussian.outcomes if "κ_L" in outcome.claim]
    assert [outcome.against for outcome in spread] == ["identity", "diagonal"]
    steps = [outcome for outcome in gaussian.outcomes if "period" in outcome.claim]
    assert {outcome.outcome for outcome in (*spread, *steps)} == {"helped"}
    assert np.all(gaussian.values("variational", "cost") < gaussian.values("identity", "cost"))
    assert np.all(gaussian.values("variational", "metric_settled_draw") == 1)
    assert np.all(np.isnan(gaussian.values("identity", "metric_settled_draw")))
    assert "The variational start helped:" in str(gaussian)


def test_variational_start_does_not_help_a_funnel(funnel):
    """It says so, in words, of steps and of early draws against the identity. Catches: a claim made whatever the numbers."""
    missed = {(outcome.claim.split()[0], outcome.against) for outcome in funnel.not_helped}
    assert {("leapfrogs", "identity"), ("gradients", "identity")} <= missed
    assert "The variational start did NOT help:" in str(funnel)
    assert "do not use" in str(funnel)
    assert funnel.values("variational", "kappa").min() > 5


def test_rows_add_up(gaussian):
    """One row a metric, seed and number of draws; gradients grow, and fit and starts are in them."""
    keys = {(row.metric, row.seed, row.draws) for row in gaussian.rows}
    assert keys == {(metric, seed, draws) for metric in METRICS for seed in (4, 5) for draws in DRAWS}
    for row in gaussian.rows:
        assert row.gradients >= row.gradients_before + row.gradients_tuning + row.draws * gaussian.chains
        assert row.error == pytest.approx(np.hypot(row.error_mean, row.error_square) / np.sqrt(2))
        assert row.cost == pytest.approx(row.gradients * row.error**2)
        assert row.cost_second_half == pytest.approx(row.gradients * row.error_second_half**2)
    assert gaussian.values("variational", "gradients_before").min() > 30
    assert gaussian.values("identity", "gradients_before").max() <= 8


def test_csv_schema(gaussian, tmp_path):
    """Every field of a row is a column and comes back as it was. A file that exists stays."""
    path = tmp_path / "rows.csv"
    gaussian.write_csv(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS == tuple(field.name for field in dataclasses.fields(Row))
    assert len(rows) == len(gaussian.rows)
    for text, row in zip(rows, gaussian.rows, strict=True):
        assert float(text["kappa"]) == row.kappa
        assert (text["metric_settled_draw"] == "") == (row.metric_settled_draw is None)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(mc.OutputError, match="exists"):
        gaussian.write_csv(path)
    assert path.read_text(encoding="utf-8") == before


def test_figure(gaussian, tmp_path):
    """Catches: an image that is empty or of another kind than its name says."""
    pytest.importorskip("matplotlib", reason="pip install 'monochord[plot]'")
    path = gaussian.figure(tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_figure_without_matplotlib(gaussian, tmp_path, monkeypatch):
    """Catches: a bare ImportError."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(mc.MissingPackage, match=r"pip install 'monochord\[plot\]'"):
        gaussian.figure(tmp_path / "figure.png")


def test_later_seeds_that_fail_are_left_out(covariance, monkeypatch):
    """Catches: rows of a finished seed lost because another seed's fit ran away. Nothing finished: the error itself."""
    monkeypatch.setattr("monochord.comparison._compare.DRAWS", (5, 10))
    target, draws = gaussian_target(np.zeros(DIM), covariance), np.random.default_rng(2).standard_normal((500, DIM))
    fitted = mc.fit

    def fails(target, *, seed, **options):
        if seed == 1:
            raise mc.ModelError("the fit ran away")
        return fitted(target, seed=seed, **options)

    monkeypatch.setattr("monochord.pipeline.fit", fails)
    found = mc.compare(target, seeds=3, seed=0, chains=2, reference=draws, progress=False)
    assert found.seeds == (0, 2)
    assert found.notes == ("Seed 1 is left out: the fit ran away",)
    with pytest.raises(mc.ModelError, match="ran away"):
        mc.compare(target, seeds=2, seed=1, chains=2, reference=draws, progress=False)


def test_ctrl_c_keeps_finished_seeds(covariance, monkeypatch):
    """Catches: rows of finished seeds lost. The second seed's first report raises."""
    seen = []

    def stop(info):
        if getattr(info, "stage", "") == "identity" and info.draws == 1:
            seen.append(info)
            if len(seen) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("monochord.comparison._compare.DRAWS", (5, 10))
    draws = np.random.default_rng(2).multivariate_normal(np.zeros(DIM), covariance, size=500)
    found = mc.compare(
        gaussian_target(np.zeros(DIM), covariance), seeds=3, seed=0, chains=2, reference=draws, progress=stop
    )
    assert found.status == "interrupted"
    assert "One seed: how much of this is chance cannot be told." in str(found)
    assert found.seeds == (0,)
    assert "Interrupted" in str(found)


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"seeds": 0}, "seeds"),
        ({"reference": np.zeros((200, 3))}, "reference"),
        ({"target_accept": 1.5}, "target_accept"),
    ],
)
def test_bad_options_are_refused(covariance, options, phrase):
    with pytest.raises(mc.OptionError, match=phrase):
        mc.compare(gaussian_target(np.zeros(DIM), covariance), seed=0, progress=False, **options)


def test_dual_averaging_finds_the_step(rng):
    """Where acceptance is a known function of the step, the average ends within 5 % of its root. False-fail below 1e-6.

    Catches: a sign, weights that do not fade.
    """
    state = begun(np.array([0.01, 1.0, 30.0]), 10.0)
    for _ in range(4000):
        acceptance = np.clip(np.exp(-state.step_sizes() / 2) + 0.1 * rng.standard_normal(3), 0, 1)
        state = updated(state, acceptance, 0.8)
    np.testing.assert_allclose(np.exp(state.log_average), -2 * np.log(0.8), rtol=0.05)


def test_stan_windows():
    """As in Stan's reference manual for a warm-up of 1000; scales are shrunk as there."""
    assert window_ends() == [100, 150, 250, 450, 950]
    draws = np.random.default_rng(0).standard_normal((2, 25, 3)) * [0.1, 1.0, 30.0]
    expected = 25 / 30 * draws.var(axis=1, ddof=1) + 1e-3 * 5 / 30
    np.testing.assert_allclose(stan_scales(draws) ** 2, expected)


def test_settled():
    assert settled(np.array([True, True])) == 1
    assert settled(np.array([False, True, False, True, True])) == 4
    assert settled(np.array([True, False])) is None
