"""`mc.spectrum`: rows, places, directions, Lanczos against dense, invariance, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.arrays import host_generator, named_key
from monochord.errors import OptionError
from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric, identity_metric
from monochord.spectra import dense_modes, lanczos_modes, share_of_indefinite, squared_frequencies, whitened_hessian
from monochord.targets import callable_target, hessians
from monochord.testing import funnel_target, gaussian_target

DIM = 6


@pytest.fixture
def stiff(ugly_covariance):
    return gaussian_target(np.linspace(-3, 5, DIM), ugly_covariance(DIM))


@pytest.fixture
def gaussian(ugly_covariance):
    return Gaussian(np.linspace(-3, 5, DIM), DenseMetric.from_covariance(ugly_covariance(DIM)))


def _log_cosh(params, rows):
    return -jnp.sum(jnp.log(jnp.cosh(rows @ params["x"]))) - 0.5 * jnp.sum(params["x"] ** 2)


def _curved(dim, seed=3):
    rows = np.random.default_rng(seed).standard_normal((2 * dim, dim)) * np.geomspace(0.3, 3, dim)
    return callable_target(_log_cosh, {"x": np.zeros(dim)}, {"rows": rows})


def test_a_gaussian_by_hand_gives_the_true_condition_number_everywhere(stiff, gaussian, ugly_covariance):
    """κ of a constant Hessian does not depend on the place. Catches: M for M⁻¹, a mean Hessian of the wrong points."""
    expected = np.linalg.cond(ugly_covariance(DIM))
    points = np.random.default_rng(1).standard_normal((5, DIM)) + 7.0
    for at in ("fit", "mean", points, points[0]):
        rows = mc.spectrum(stiff, gaussian, at=at, seed=1)
        assert rows["identity"].kappa.value == pytest.approx(expected, rel=1e-6)
        assert rows["fitted"].kappa.value == pytest.approx(1.0, rel=1e-6)
        assert rows["fitted"].kappa_langmore.value == pytest.approx(DIM**0.25, rel=1e-6)
        assert rows["fitted"].period.value == pytest.approx(2 * np.pi, rel=1e-6)
        assert rows["identity"].step_limit.value * rows["identity"].omega_max.value == pytest.approx(2.0)


def test_spectrum_over_posterior_draws_says_so(stiff, gaussian):
    """Catches: draws of the fit used where the posterior was asked for, and constrained draws for unconstrained."""
    fit = mc.fit(stiff, seed=0)
    data = mc.sample(stiff, fit=fit, seed=0, chains=2, draws=60)
    rows = mc.spectrum(stiff, fit, at=data, num_draws=8)
    assert rows.where == "averaged over 8 posterior draws"
    assert rows["identity"].criterion is not None
    assert "8 posterior draws" in str(rows)


def test_metrics_at_hand_are_rows(stiff, gaussian):
    """Catches: a user's metric that is silently left out."""
    mine = DiagonalMetric(np.geomspace(0.1, 3, DIM))
    rows = mc.spectrum(stiff, gaussian, metrics={"mine": mine}, seed=1)
    assert list(rows.rows) == ["identity", "diagonal", "fitted", "mine"]
    assert "mine" in str(rows)
    fitted = Gaussian(gaussian.mean, DiagonalMetric(np.ones(DIM)))
    named = mc.spectrum(stiff, fitted, metrics={"diagonal": mine}, seed=1)
    assert list(named.rows) == ["identity", "fitted", "diagonal"], "a diagonal of the user's beside a fit that is one"


def test_directions_carry_the_users_names(gaussian):
    """The slowest direction of a diagonal Gaussian is its widest coordinate. Catches: eigenvectors in the wrong order
    or space, and a mix-up of slow and fast."""
    scale = np.exp(np.linspace(-2, 2, 4))
    target = callable_target(_named, {"mu": 0.0, "beta": np.zeros(3)}, {"scale": scale})
    names = target.names
    rows = mc.spectrum(target, Gaussian(np.zeros(4), DiagonalMetric(scale[::-1].copy())), seed=1)
    slow, fast = rows["identity"].slowest, rows["identity"].fastest
    assert str(slow) == f"1.00 {names[3]}" and str(fast) == f"1.00 {names[0]}"


def _named(params, scale):
    x = jnp.concatenate([params["beta"], params["mu"][None]])
    return -0.5 * jnp.sum((x / scale) ** 2)


@pytest.mark.parametrize("kind", ["identity", "diagonal", "low_rank"])
def test_lanczos_agrees_with_dense_solves(kind):
    """Converged ends agree to 1e-8 of ω²max. Catches: a lost reorthogonalisation, L for Lᵀ, a mean over the wrong axis."""
    dim = 40
    target, rng = _curved(dim), np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((dim, 3)))[0]
    metric = {
        "identity": identity_metric(dim),
        "diagonal": DiagonalMetric(np.geomspace(2, 0.2, dim)),
        "low_rank": LowRankMetric(np.geomspace(2, 0.2, dim), basis, np.array([9.0, 0.2, 3.0])),
    }[kind]
    points = 0.3 * rng.standard_normal((3, dim))
    exact = squared_frequencies(metric, hessians(target, points).mean(0))
    modes, gradients = lanczos_modes(target, metric, points, rng, 40)
    assert gradients == 2 * 3 * 40
    assert modes.error_low < 1e-5 and modes.error_high < 1e-5
    np.testing.assert_allclose(modes.squared[[0, -1]], exact[[0, -1]], rtol=0, atol=1e-8 * exact[-1])
    assert modes.weights.sum() == pytest.approx(dim)


@pytest.mark.parametrize(
    ("bulk", "others"),
    [
        (np.geomspace(1, 1e4, 300), []),
        (np.linspace(0.9, 1.1, 295), [0.01, 0.0105, 50, 50.5, 80]),
        (np.linspace(0.9, 1.1, 298), [50, 50.0001]),
        (np.linspace(0.9, 1.1, 298), [1.13, 1.2]),
    ],
    ids=["wide", "spikes", "close", "edge"],
)
def test_every_converged_ritz_value_is_an_eigenvalue(bulk, others):
    """To 1e-8 of ω²max, with 60 products in 300 dimensions, also inside the bulk and between close spikes.

    Catches: values that pass for converged by a residual that is small beside ω²max and large beside the bulk.
    """
    exact = np.sort(np.r_[bulk, others])
    target = callable_target(_independent, {"x": np.zeros(300)}, {"scale": exact**-0.5})
    modes, _ = lanczos_modes(target, identity_metric(300), np.zeros((1, 300)), np.random.default_rng(5), 60)
    distance = np.abs(modes.squared[:, None] - exact).min(1)
    assert np.all(distance <= (modes.errors + 1e-13) * exact[-1])
    converged = modes.errors <= 1e-8
    assert 1 <= converged.sum() < 60
    assert np.all(distance[converged] <= 1e-8 * exact[-1])


def test_the_residual_bounds_an_unconverged_end():
    """An eigenvalue lies within the stated error of every Ritz value. Catches: residuals of the wrong component."""
    dim = 40
    target, rng = _curved(dim), np.random.default_rng(2)
    exact = squared_frequencies(identity_metric(dim), hessians(target, np.zeros((1, dim))).mean(0))
    modes, _ = lanczos_modes(target, identity_metric(dim), np.zeros((1, dim)), rng, 6)
    assert modes.error_low > 1e-4  # this test is about an end that has not converged
    assert np.min(np.abs(exact - modes.squared[0])) <= modes.error_low * exact[-1] * (1 + 1e-9)
    assert modes.squared[0] >= exact[0] and modes.squared[-1] <= exact[-1] * (1 + 1e-12)


def test_lanczos_weights_give_the_trace_of_squares():
    """Σω⁴ by quadrature within 15 % of the dense one, spikes included. Catches: a spike counted by its random weight."""
    dim = 300
    scale = np.r_[np.full(3, 0.05), np.linspace(0.8, 1.2, dim - 3)]
    target = callable_target(_independent, {"x": np.zeros(dim)}, {"scale": scale})
    modes, _ = lanczos_modes(target, identity_metric(dim), np.zeros((1, dim)), np.random.default_rng(5), 40)
    assert modes.weights @ modes.squared**2 == pytest.approx(np.sum(scale**-4.0), rel=1e-3)
    rest = modes.squared < 10
    assert modes.weights[rest] @ modes.squared[rest] ** 2 == pytest.approx(np.sum(scale[3:] ** -4.0), rel=0.15)


def _independent(params, scale):
    return -0.5 * jnp.sum((params["x"] / scale) ** 2)


def test_an_exact_metric_breaks_lanczos_down_safely():
    """An invariant Krylov space after one product. Catches: division by a zero off-diagonal."""
    scale = np.geomspace(0.01, 50, 30)
    target = callable_target(_independent, {"x": np.zeros(30)}, {"scale": scale})
    modes, _ = lanczos_modes(target, DiagonalMetric(scale), np.zeros((2, 30)), np.random.default_rng(5), 20)
    assert modes.kappa() == pytest.approx(1.0, abs=1e-8) and modes.weights.sum() == pytest.approx(30.0)


def test_large_targets_take_the_lanczos_way_within_bounds():
    """1,200 coordinates: κ agrees with the known one, in few gradients. Catches: a dense Hessian by mistake."""
    dim = 1200
    scale = np.r_[0.1, np.linspace(0.9, 1.1, dim - 2), 8.0]
    target = callable_target(_independent, {"x": np.zeros(dim)}, {"scale": scale})
    rows = mc.spectrum(target, Gaussian(np.zeros(dim), DiagonalMetric(scale)), seed=3)
    assert rows["identity"].kappa.value == pytest.approx(6400.0, rel=1e-6)
    assert rows["fitted"].kappa.value == pytest.approx(1.0, abs=1e-8)
    assert rows.gradients < 3000
    assert str(rows["identity"].slowest) == f"1.00 x[{dim - 1}]"


def test_affine_reparametrisation_changes_nothing_under_the_matching_metric():
    """ω of (target∘T, T⁻¹ΣT⁻ᵀ) equal those of (target, Σ). Catches: anything that looks at unwhitened coordinates."""
    dim, rng = 5, np.random.default_rng(7)
    target = _curved(dim)
    transform = rng.standard_normal((dim, dim)) + 3 * np.diag(np.geomspace(0.1, 10, dim))
    rows = target.traced_data["rows"] @ transform
    moved = callable_target(_log_cosh_moved, {"x": np.zeros(dim)}, {"rows": rows, "transform": transform})
    covariance = np.diag(np.geomspace(0.5, 4, dim))
    inverse = np.linalg.inv(transform)
    pulled = inverse @ covariance @ inverse.T
    point = rng.standard_normal((1, dim))
    there = DenseMetric.from_covariance((pulled + pulled.T) / 2)
    np.testing.assert_allclose(
        squared_frequencies(there, hessians(moved, point @ inverse.T)[0]),
        squared_frequencies(DenseMetric.from_covariance(covariance), hessians(target, point)[0]),
        rtol=1e-8,
    )


def _log_cosh_moved(params, rows, transform):
    return -jnp.sum(jnp.log(jnp.cosh(rows @ params["x"]))) - 0.5 * jnp.sum((transform @ params["x"]) ** 2)


def test_share_of_indefinite_hessians_by_few_products():
    """All Hessians of a funnel's flank are indefinite, none of a Gaussian's. Catches: a sign, and more work than allowed."""
    rng = host_generator(named_key(0, "x"))
    funnel = funnel_target(5)
    points = np.random.default_rng(0).standard_normal((12, 5)) * 3
    dense = np.array([np.linalg.eigvalsh(h)[0] < 0 for h in hessians(funnel, points[:8])]).mean()
    share, gradients = share_of_indefinite(funnel, identity_metric(5), points, rng)
    assert share.num_draws == 8 and gradients <= 2 * 8 * 8
    assert share.value == pytest.approx(dense)
    share, _ = share_of_indefinite(_curved(5), identity_metric(5), points, rng)
    assert share.value == 0.0


def test_share_of_indefinite_hessians_is_a_lower_bound_in_many_dimensions():
    """Eight products in 40 dimensions: no definite point is called indefinite, and three quarters of the others are found.

    Catches: Ritz values below the spectrum (a basis that is not orthogonal), points read in the wrong order.
    """
    funnel, rng = funnel_target(40), np.random.default_rng(3)
    points = rng.standard_normal((8, 40)) * np.repeat([0.02, 1.0], 4)[:, None]
    lowest = np.array([np.linalg.eigvalsh(h)[0] for h in hessians(funnel, points)])
    assert np.all(lowest[:4] > 0) and np.all(lowest[4:] < 0)
    few, gradients = share_of_indefinite(funnel, identity_metric(40), points, rng)
    assert 0.375 <= few.value <= 0.5 and gradients == 2 * 8 * 8
    none, _ = share_of_indefinite(funnel, identity_metric(40), points[:4], rng)
    assert none.value == 0.0


def test_predictions_are_flagged_where_the_verdict_refuses(stiff):
    """Catches: figures printed as if they held on a posterior that no metric suits."""
    fit = mc.fit(stiff, seed=0)
    refused = dataclasses.replace(fit, judgement=dataclasses.replace(fit.judgement, name="do not use"))
    rows = mc.spectrum(stiff, refused, seed=1)
    assert not rows.is_reliable and "unreliable" in str(rows)
    assert mc.spectrum(stiff, fit, seed=1).is_reliable


def test_what_does_not_fit_is_refused(stiff, gaussian):
    """Catches: a bare array taken for a metric, points of another dimension, an unknown place."""
    for options in (
        {"at": np.zeros(DIM + 1)}, {"at": "everywhere"}, {"num_draws": 0},
        {"metrics": {"mine": identity_metric(DIM + 1)}},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            mc.spectrum(stiff, gaussian, **options)


def test_dense_modes_and_whitening_agree_with_numpy(ugly_covariance):
    """Catches: eigenvectors swapped with eigenvalues."""
    matrix = ugly_covariance(5)
    modes = dense_modes(whitened_hessian(identity_metric(5), matrix), with_vectors=True)
    assert modes.high @ matrix @ modes.high == pytest.approx(modes.squared[-1])
    assert modes.low @ matrix @ modes.low == pytest.approx(modes.squared[0])


def test_lanczos_does_not_recompile_for_new_data():
    """Catches: data baked into the compiled program."""
    from monochord.spectra._lanczos import _tridiagonal

    lanczos_modes(_curved(9, 1), identity_metric(9), np.zeros((2, 9)), np.random.default_rng(0), 5)
    count = _tridiagonal.program._cache_size()
    lanczos_modes(_curved(9, 2), identity_metric(9), np.ones((2, 9)), np.random.default_rng(1), 5)
    assert _tridiagonal.program._cache_size() == count
    assert jax.config.jax_enable_x64


def test_nuts_is_predicted_only_where_its_law_holds(stiff, gaussian):
    """Six coordinates: none. Catches: a figure 1.6 times off that looks like the others."""
    rows = mc.spectrum(stiff, gaussian, seed=1)
    assert np.isnan(rows["fitted"].gradients_per_effective_draw_nuts.value)
    assert np.isfinite(rows["fitted"].gradients_per_effective_draw.value)
    seven = gaussian_target(np.zeros(7), np.diag(np.geomspace(0.1, 9, 7)))
    rows = mc.spectrum(seven, Gaussian(np.zeros(7), DiagonalMetric(np.geomspace(0.3, 3, 7) ** 2)), seed=1)
    assert np.isfinite(rows["identity"].gradients_per_effective_draw_nuts.value)


def test_a_share_of_none_is_not_known_exactly():
    """Catches: 0 of 8 points stated as 0 ± 0."""
    from monochord.spectra import indefinite_share

    none, half = indefinite_share(np.ones(8)), indefinite_share(np.array([-1.0, 1.0] * 4))
    assert none.value == 0 and 0.03 < none.standard_error < 0.1
    assert half.value == 0.5 and half.standard_error == pytest.approx(0.158, abs=0.005)
