"""What exports hold: conventions, orders, forms, starts, step sizes and files, read as their receivers would read them."""

import builtins
import dataclasses
import io
import json
import re
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord import export
from monochord.export._handover import handover, order_of, sites_of
from monochord.maps import ScaledMap
from monochord.testing import funnel_target, gaussian_target

NAMES = ("zeta[0]", "zeta[1]", "alpha", "mid[0, 0]", "mid[0, 1]", "mid[1, 0]", "mid[1, 1]")
DIM = len(NAMES)
SORTED = [2, 3, 4, 5, 6, 0, 1]  # alpha, mid, zeta
SCALE = np.array([1e3, 1e-2, 1.0, 1e-3, 1e2, 1e-1, 1e1])
COVARIANCE = 0.95 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM))) * np.outer(SCALE, SCALE)
MEAN = SCALE * np.linspace(-2.0, 3.0, DIM)


@pytest.fixture(scope="module")
def fit():
    return dataclasses.replace(mc.fit(gaussian_target(MEAN, COVARIANCE), seed=0), names=NAMES)


@pytest.fixture(scope="module")
def target():
    """A target of the same coordinates with a positive parameter, for starts as constrained values."""

    def density(params):
        return -0.5 * sum(jnp.sum(value**2) for value in params.values())

    def constrain(params):
        return {"zeta": params["b_zeta"], "alpha": jnp.exp(params["c_alpha"]), "mid": params["d_mid"]}

    init = {"b_zeta": np.zeros(2), "c_alpha": 0.0, "d_mid": np.zeros((2, 2))}
    return mc.target(density, init=init, constrain=constrain)


def like(target, fit):
    """The target under the fit's names."""
    return dataclasses.replace(target, names=fit.names)


def with_metric(fit, metric):
    return dataclasses.replace(fit, gaussian=mc.Gaussian(fit.gaussian.mean, metric), choices=())


@pytest.fixture(scope="module")
def diagonal(fit):
    return with_metric(fit, mc.DiagonalMetric(SCALE))


@pytest.fixture(scope="module")
def low_rank(fit):
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, 2)))[0]
    return with_metric(fit, mc.LowRankMetric(SCALE, basis, np.array([9.0, 0.1])))


def test_the_inverse_mass_matrix_is_the_covariance(fit):
    """In the fit's order where the receiver has none of its own, sorted by site for NumPyro."""
    sigma = fit.gaussian.metric.dense()
    np.testing.assert_allclose(export.to_plain(fit).arrays["inverse_mass_matrix"], sigma, rtol=1e-14)
    np.testing.assert_allclose(export.to_cmdstan(fit).inverse_mass_matrix, sigma, rtol=1e-14)
    np.testing.assert_allclose(export.to_blackjax(fit).inverse_mass_matrix, sigma, rtol=1e-14)
    numpyro = export.to_numpyro(fit)
    assert numpyro.sites == ("alpha", "mid", "zeta")
    assert numpyro.names == tuple(NAMES[place] for place in SORTED)
    np.testing.assert_allclose(numpyro.inverse_mass_matrix, sigma[np.ix_(SORTED, SORTED)], rtol=1e-14)


def test_matrices_are_symmetric_to_the_last_bit(fit):
    for matrix in (export.to_cmdstan(fit).inverse_mass_matrix, export.to_numpyro(fit).inverse_mass_matrix):
        np.testing.assert_array_equal(matrix, matrix.T)


def test_a_diagonal_metric_is_handed_over_as_variances(diagonal):
    np.testing.assert_allclose(export.to_cmdstan(diagonal).inverse_mass_matrix, SCALE**2)
    assert export.to_cmdstan(diagonal).metric == "diag_e"
    numpyro = export.to_numpyro(diagonal)
    np.testing.assert_allclose(numpyro.inverse_mass_matrix, SCALE[SORTED] ** 2)
    assert numpyro.kernel_options["dense_mass"] == []
    assert "DiagEuclideanMetric(" in export.to_advanced_hmc(diagonal).julia


def test_a_low_rank_metric_stays_one_where_it_can(low_rank):
    metric = low_rank.gaussian.metric
    jax_form = export.to_blackjax(low_rank).inverse_mass_matrix
    for ours, theirs in zip((metric.scale, metric.basis, metric.eigenvalues), jax_form, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    plain = export.to_plain(low_rank)
    assert plain.head["form"] == "low_rank" and {"scale", "basis", "eigenvalues"} < plain.arrays.keys()
    np.testing.assert_allclose(export.to_cmdstan(low_rank).inverse_mass_matrix, metric.dense(), rtol=1e-12)


def test_a_low_rank_metric_too_large_for_dense_gives_its_best_diagonal(low_rank, monkeypatch):
    monkeypatch.setattr("monochord.export._handover.MAX_DENSE", DIM - 1)
    found = export.to_cmdstan(low_rank)
    metric = low_rank.gaussian.metric
    np.testing.assert_allclose(found.inverse_mass_matrix**2, metric.diagonal() / metric.precision_diagonal())
    assert "no low-rank metric" in found.caution and "no low-rank metric" in str(found)
    assert found.step_size < export.to_blackjax(low_rank).step_size  # the directions it lacks ask for smaller steps


def test_forms_can_be_asked_for(fit, diagonal):
    assert export.to_plain(fit, form="diagonal").arrays["inverse_mass_matrix"].shape == (DIM,)
    full = export.to_plain(diagonal, form="dense").arrays["inverse_mass_matrix"]
    np.testing.assert_allclose(full, np.diag(SCALE**2))
    with pytest.raises(mc.OptionError, match="Only a low-rank fit"):
        export.to_plain(fit, form="low_rank")
    with pytest.raises(mc.OptionError, match="form='low_rank'"):
        export.to_cmdstan(fit, form="low_rank")


def test_starts_are_draws_of_the_fit_that_are_paid_for(fit):
    found = export.to_blackjax(fit, chains=3, seed=1)
    drawn = {row.tobytes() for row in fit.draws.x}
    assert found.initial.shape == (3, DIM) and all(row.tobytes() in drawn for row in found.initial)
    assert found.gradients == 0
    np.testing.assert_array_equal(found.initial_states.position, found.initial)
    place = [row.tobytes() for row in fit.draws.x].index(found.initial[0].tobytes())
    assert found.initial_states.logdensity[0] == fit.draws.log_density[place]
    assert export.to_blackjax(fit, chains=3, seed=1).initial.tobytes() == found.initial.tobytes()
    assert export.to_blackjax(fit, chains=3, seed=2).initial.tobytes() != found.initial.tobytes()


def test_starts_of_a_metric_put_in_by_hand_are_evaluated(diagonal, target):
    assert export.to_blackjax(diagonal).initial_states is None
    named = dataclasses.replace(diagonal, names=target.names)
    found = export.to_blackjax(named, target, chains=2)
    assert found.gradients == 2
    np.testing.assert_allclose(found.initial_states.logdensity_grad, -found.initial)


def test_numpyro_starts_are_unconstrained_values_by_site(fit):
    initial = np.arange(2.0 * DIM).reshape(2, DIM)
    found = export.to_numpyro(fit, chains=2, initial=initial)
    np.testing.assert_array_equal(found.init_params["zeta"], initial[:, :2])
    np.testing.assert_array_equal(found.init_params["alpha"], initial[:, 2])
    np.testing.assert_array_equal(found.init_params["mid"], initial[:, 3:].reshape(2, 2, 2))
    single = export.to_numpyro(fit, chains=1, initial=initial[:1])
    assert single.init_params["alpha"].shape == ()
    assert "num_chains=1" in str(single)


def test_the_step_size_is_the_closed_form_and_can_be_stated(fit):
    found = export.to_plain(fit).head["step_size"]
    assert 0.7 < found < 1.2
    assert export.to_plain(fit, target_accept=0.95).head["step_size"] < found
    assert export.to_plain(fit, step_size=0.25).head["step_size"] == 0.25


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"chains": 0}, "chains"),
        ({"target_accept": 1.5}, "target_accept"),
        ({"step_size": -1.0}, "step_size"),
        ({"initial": np.zeros((4, 2))}, "initial"),
        ({"form": "round"}, "form"),
    ],
)
def test_options_out_of_range_are_refused(fit, options, phrase):
    with pytest.raises(mc.OptionError, match=phrase):
        export.to_plain(fit, **options)


def test_a_doubtful_fit_is_handed_over_with_a_caution(fit):
    for verdict, phrase in (("start only", "let the receiver adapt"), ("do not use", "no constant metric helps")):
        doubtful = dataclasses.replace(fit, judgement=dataclasses.replace(fit.judgement, name=verdict))
        assert phrase in export.to_cmdstan(doubtful).caution
    assert export.to_plain(fit).caution == ""


def test_along_products_a_constant_step_is_shorter_and_said_to_be_constant():
    """No receiver's steps follow the position. Catches: the step and the words of other maps."""
    target = gaussian_target(np.zeros(3), np.eye(3))
    linear = mc.fit(target, seed=0, progress=False)
    doubtful = dataclasses.replace(linear, judgement=dataclasses.replace(linear.judgement, name="start only"))
    one = np.ones(1)
    along = ScaledMap(
        np.array([0]), np.array([[1]]), one[None], np.zeros(3), one, one, one, np.full(3, np.inf), 0 * one
    )
    plain, walled = (
        handover(each, ("dense", "diagonal"), takes_density=True)
        for each in (doubtful, dataclasses.replace(doubtful, map=along))
    )
    assert walled.step_size < 0.7 * plain.step_size
    assert "follow the position" in walled.caution and "follow the position" not in plain.caution


def test_parameters_are_read_from_the_names_of_coordinates():
    sites = sites_of(("a[0]", "a[1]", "b", "c[0, 0]", "c[0, 1]", "odd[3]", "log[x]"))
    assert {name: shape for name, (shape, _) in sites.items()} == {
        "a": (2,), "b": (), "c": (1, 2), "odd[3]": (), "log[x]": ()
    }  # fmt: skip
    np.testing.assert_array_equal(order_of(NAMES, ["mid", "zeta", "alpha"]), [3, 4, 5, 6, 0, 1, 2])


def test_cmdstan_files_are_what_cmdstan_reads(fit, target, tmp_path):
    """metric.json by the guide's schema; starts constrained, one file a chain; the arguments name both and adapt nothing."""
    found = export.to_cmdstan(fit, like(target, fit), parameters=["mid", "zeta", "alpha"], chains=3)
    written = found.write(tmp_path / "stan")
    assert sorted(path.name for path in written) == [
        "arguments.txt",
        "inits_1.json",
        "inits_2.json",
        "inits_3.json",
        "metric.json",
    ]
    metric = json.loads((tmp_path / "stan" / "metric.json").read_text(), parse_constant=pytest.fail)
    order = [3, 4, 5, 6, 0, 1, 2]
    assert metric.keys() == {"inv_metric"}
    np.testing.assert_allclose(metric["inv_metric"], fit.gaussian.metric.dense()[np.ix_(order, order)], rtol=1e-14)
    initial = export.to_plain(fit, chains=3).arrays["initial"]
    for chain in range(3):
        start = json.loads((tmp_path / "stan" / f"inits_{chain + 1}.json").read_text())
        assert start["alpha"] == pytest.approx(np.exp(initial[chain, 2]))
        np.testing.assert_allclose(start["zeta"], initial[chain, :2])
        np.testing.assert_allclose(start["mid"], initial[chain, 3:].reshape(2, 2))
    line = (tmp_path / "stan" / "arguments.txt").read_text()
    for argument in ("adapt engaged=0", "num_warmup=0", "metric=dense_e", "metric_file=metric.json", "init=inits.json"):
        assert argument in line
    assert float(re.search(r"stepsize=(\S+)", line)[1]) == found.step_size


def test_cmdstan_refuses_parameters_that_are_not_the_fits(fit):
    with pytest.raises(mc.OptionError, match="receiver's parameters are mid, zeta"):
        export.to_cmdstan(fit, parameters=["mid", "zeta"])


def test_cmdstan_says_what_it_lacks_without_the_target(fit):
    found = export.to_cmdstan(fit)
    assert found.inits is None and "inits" not in found.sample_options and "init=" not in found.arguments
    assert "pass the target" in str(found)


def test_cmdstanpy_accepts_the_options(fit, target, tmp_path):
    """Its own validation, and the command that it would run; CmdStan itself is not needed for either."""
    args = pytest.importorskip("cmdstanpy.cmdstan_args", reason="pip install cmdstanpy")
    found = export.to_cmdstan(fit, like(target, fit), chains=2)
    found.write(tmp_path / "stan")
    options = found.sample_options
    sampler = args.SamplerArgs(
        metric_type=options["metric"], metric_file=str(tmp_path / "stan" / "metric.json"), step_size=options["step_size"],
        adapt_engaged=options["adapt_engaged"], iter_warmup=options["iter_warmup"], num_chains=options["chains"],
    )  # fmt: skip
    sampler.validate(options["chains"])
    composed = " ".join(sampler.compose(0, cmd=[]))
    for argument in ("metric=dense_e", f"stepsize={found.step_size}", "engaged=0", "num_warmup=0"):
        assert argument in composed


def test_julia_reads_the_same_document(fit, tmp_path):
    found = export.to_advanced_hmc(fit)
    found.write(tmp_path)
    document = json.loads((tmp_path / "metric.json").read_text(), parse_constant=pytest.fail)
    assert (document["format"], document["version"], document["names"]) == ("monochord-metric", 1, list(NAMES))
    np.testing.assert_allclose(document["inverse_mass_matrix"], fit.gaussian.metric.dense(), rtol=1e-14)
    code = (tmp_path / "metric.jl").read_text()
    for field in re.findall(r'handover\["(\w+)"\]', code):
        assert field in document
    assert code.count("(") == code.count(")") and "{{" not in code
    assert "NoAdaptation()" in code


def test_plain_files_agree_with_each_other(fit, tmp_path):
    found = export.to_plain(fit)
    found.write(tmp_path)
    document = json.loads((tmp_path / "metric.json").read_text(), parse_constant=pytest.fail)
    arrays = np.load(tmp_path / "metric.npz")
    with zipfile.ZipFile(tmp_path / "metric.npz") as archive:
        head = json.load(io.TextIOWrapper(archive.open("metric.json"), "utf-8"))
    assert head.items() <= document.items()
    for name in ("mean", "initial", "inverse_mass_matrix"):
        np.testing.assert_array_equal(arrays[name], np.asarray(document[name]))


def test_files_are_not_replaced_without_force(fit, tmp_path):
    export.to_plain(fit).write(tmp_path)
    with pytest.raises(mc.OutputError, match="exists"):
        export.to_advanced_hmc(fit).write(tmp_path)
    assert not (tmp_path / "metric.jl").exists(), "nothing is written where one file may not be"
    export.to_advanced_hmc(fit).write(tmp_path, force=True)
    with pytest.raises(mc.OutputError, match="cannot be made"):
        export.to_plain(fit).write(tmp_path / "no" / "such")


CALLS = {
    "pymc": lambda fit, target: export.to_pymc(fit, None),
    "nutpie": export.to_nutpie,
    "mici": export.to_mici,
    "walnutpie": lambda fit, target: export.to_walnutpie(fit, target).sample(max_sampling_iter=1),
    "numpyro": lambda fit, target: export.to_numpyro(fit).kernel(None),
}


@pytest.mark.parametrize("package", CALLS)
def test_a_missing_package_gives_the_pip_line(fit, target, monkeypatch, package):
    actual = builtins.__import__

    def without(wanted, *args, **options):
        if wanted.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return actual(wanted, *args, **options)

    named = dataclasses.replace(fit, names=target.names)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(mc.MissingPackage, match="pip install"):
        CALLS[package](named, target)


def test_a_fit_of_another_target_is_refused(fit, target):
    with pytest.raises(mc.OptionError, match="another target"):
        export.to_walnutpie(fit, target)


def test_every_export_says_what_the_receiver_does_with_it(fit, target):
    """Keeps, blends, discards, or takes none: the words that the documentation promises."""
    for name in ("to_plain", "to_cmdstan", "to_numpyro", "to_blackjax", "to_advanced_hmc"):
        made = getattr(export, name)(fit)
        assert re.search(r"keep|blend|discard", made.note) and made.note in str(made)
        assert "step size" in str(made)


@pytest.fixture(scope="module")
def along():
    target = funnel_target(4)
    fit = mc.fit(target, seed=0, maps=True)
    assert fit.map is not None
    return target, fit


@pytest.mark.parametrize("name", ["to_plain", "to_cmdstan", "to_numpyro", "to_blackjax", "to_advanced_hmc", "to_pymc"])
def test_a_map_is_refused_where_it_cannot_be_followed(along, name):
    """A metric of mapped coordinates is none for the receiver's own; the message names those that can follow, and how to mend it."""
    arguments = (None,) if name == "to_pymc" else ()
    if arguments:
        pytest.importorskip("pymc", reason="pip install pymc")
    with pytest.raises(mc.OptionError, match=r"coordinates of a map .*nutpie, Mici or walnutpie.*maps=False"):
        getattr(export, name)(along[1], *arguments)


@pytest.mark.parametrize("name", ["to_nutpie", "to_mici", "to_walnutpie"])
def test_starts_are_unconstrained_with_a_map_too(along, name):
    """Those stated go in as unconstrained points, and those of the fit are its draws, placed by the map."""
    pytest.importorskip(name[3:], reason=f"pip install {name[3:]}")
    target, fit = along
    given = np.array([[0.5, 1.0, -2.0, 0.3], [-1.0, 0.2, 0.1, -0.4]])
    made = getattr(export, name)(fit, target, chains=2, initial=given)
    np.testing.assert_allclose(made.density.unwhiten(made.density.whiten(given)), given, rtol=1e-10)
    value, _ = made.density.value_and_score(made.density.whiten(given[0]))
    other, _ = made.density.value_and_score(made.density.whiten(given[1]))
    v = given[:, 0]  # the change of variables adds the map's log determinant, dim v / 2 but for a constant
    truth = [float(target.log_density(x)) for x in given]
    assert value - other == pytest.approx(truth[0] - truth[1] + 1.5 * (v[0] - v[1]), abs=1e-5)
    drawn = {row.tobytes() for row in fit.map.place(fit.draws.x)}
    if name == "to_mici":
        own = getattr(export, name)(fit, target, chains=2).initial
        assert all(row.tobytes() in drawn for row in own)
