"""Fits on fixed draws: as exact as the draws' second moment, with derivatives that agree with differences."""

import jax.numpy as jnp
import numpy as np
import pytest

from monochord import Dense, Diagonal, FitStatus, Gaussian, LowRank
from monochord.fits import _deterministic, _score, _starts, run
from monochord.fits._deterministic import DeterministicAdvi, _Objective
from monochord.fits._starts import matched_draws
from monochord.metrics import DenseMetric, DiagonalMetric
from monochord.spectra import _indefinite, condition_number, squared_frequencies
from monochord.targets import callable_target, evaluate, hessian_products
from monochord.testing import banana_target, flat_direction_target, gaussian_target, nowhere_finite_target

FAMILIES = {"diagonal": Diagonal(), "dense": Dense()}


def _box(params, half):
    """A correlated Gaussian within |x| < half, the logarithm of a negative number beyond one wall."""
    x = params["x"]
    inside = jnp.log(half - x[0]) + jnp.where(jnp.all(jnp.abs(x) < half), 0.0, -jnp.inf)
    return inside - 0.5 * jnp.sum((x - 0.3) ** 2) - 0.4 * x[0] * x[1]


@pytest.fixture
def covariance(ugly_covariance):
    return ugly_covariance(6)


@pytest.fixture
def gaussian_problem(covariance, ugly_mean):
    return gaussian_target(ugly_mean(6) / 6, covariance)


def _kappa(gaussian, covariance) -> float:
    precision = np.asarray(DenseMetric.from_covariance(covariance).solve(np.eye(len(covariance))))
    return condition_number(squared_frequencies(gaussian.metric, precision))


@pytest.mark.parametrize(("num_pairs", "dim"), [(5, 5), (32, 5), (7, 3)])
def test_matched_draws_have_the_moments_of_the_normal(num_pairs, dim, rng):
    """Mean 0 and second moment I to rounding. Catches: a square root that is not symmetric, a factor √n."""
    z = matched_draws(rng, num_pairs, dim)
    assert z.shape == (2 * num_pairs, dim)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-13)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(dim), atol=1e-12)


def test_too_few_draws_are_matched_by_coordinate(rng):
    """Catches: a division by the rank, a singular whitening."""
    z = matched_draws(rng, 4, 9)
    np.testing.assert_allclose((z**2).mean(0), 1.0, atol=1e-12)


def test_gaussians_are_exact(gaussian_problem, covariance, key):
    """Theory, theorem 7b. Measured κ − 1 over 8 keys: 2e-11 to 1.3e-8."""
    result = run(key, gaussian_problem, DeterministicAdvi(Dense()))
    assert _kappa(result.gaussian, covariance) < 1.0 + 1e-6
    np.testing.assert_allclose(result.gaussian.mean, gaussian_problem.traced_data["mean"], atol=1e-5)
    assert result.status is FitStatus.converged and result.verdict == "trust"


def test_plain_draws_hand_on_their_condition_number(gaussian_problem, covariance, key):
    """Theory check 9: κ(ΣH) = κ(S_z), here S_z about the draws' mean, which μ takes up; far from 1."""
    algorithm = DeterministicAdvi(Dense(), num_pairs=12, matched=False)
    result = run(key, gaussian_problem, algorithm)
    for _ in range(4):  # to the last digit, past the optimiser's own stop
        algorithm = DeterministicAdvi(Dense(), num_pairs=12, matched=False, start=result.gaussian)
        state = algorithm.init(key, gaussian_problem)
        state, _ = algorithm.step(key, gaussian_problem, state)
    expected = np.linalg.cond(np.cov(state.draws.T))
    assert _kappa(state.gaussian, covariance) == pytest.approx(expected, rel=1e-8)
    assert expected > 2.0


def test_mean_field_scales_are_conditional_ones(gaussian_problem, covariance, key):
    """Theory, theorem 2: 1/Σ_ii = H_ii, exact as matched draws have no correlations. The control: marginal scales."""
    result = run(key, gaussian_problem, DeterministicAdvi(Diagonal()))
    precision = np.diag(np.linalg.inv(covariance))
    np.testing.assert_allclose(np.asarray(result.gaussian.metric.diagonal()) * precision, 1.0, rtol=1e-3)
    assert np.abs(np.log(np.diag(covariance) * precision)).max() > 0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_agree_with_differences(name, rng):
    """Two ways, on a target that is not Gaussian. Catches: the second derivative of exp, indices of T."""
    metric = {"diagonal": DiagonalMetric(np.array([0.7, 2.0])), "dense": DenseMetric(*_factors())}[name]
    objective = _Objective(banana_target(), Gaussian(np.array([0.5, -0.3]), metric), matched_draws(rng, 4, 2))
    theta, direction = 0.3 * rng.standard_normal((2, objective.size))
    ends = [theta + sign * 1e-5 * direction for sign in (1.0, -1.0)]
    slope = (objective.value(ends[0]) - objective.value(ends[1])) / 2e-5
    assert slope == pytest.approx(objective.gradient(theta) @ direction, rel=1e-7)
    curve = (objective.gradient(ends[0]) - objective.gradient(ends[1])) / 2e-5
    np.testing.assert_allclose(objective.product(theta, direction), curve, rtol=1e-6, atol=1e-7)
    value = -np.mean(evaluate(banana_target(), objective.moved(theta).place(objective.z)).log_density)
    entropy = 0.5 * (objective.moved(theta).metric.log_det() - metric.log_det())
    assert objective.value(theta) == pytest.approx(value - entropy, rel=1e-10)


def _factors():
    factor = np.array([[0.6, 0.0], [-1.1, 2.0]])
    return factor, np.linalg.inv(factor)


def test_a_product_is_paid_for_once(rng):
    """Sums of earlier directions cost nothing; another point does. Catches: a memory that ignores θ."""
    objective = _Objective(banana_target(), Gaussian(np.zeros(2), DenseMetric(*_factors())), matched_draws(rng, 4, 2))
    theta, a, b = rng.standard_normal((3, objective.size))
    images = objective.product(theta, a), objective.product(theta, b)
    np.testing.assert_allclose(objective.product(theta, 2.0 * a - 3.0 * b), 2.0 * images[0] - 3.0 * images[1])
    assert objective.num_products == 2
    objective.product(theta + 0.1, a)
    assert objective.num_products == 3


@pytest.mark.parametrize("steps", [1, 12, 20])
def test_a_fit_resumed_equals_one_run(steps, key):
    """Catches: draws that are made anew, a trust radius that is left out of the state."""
    target = banana_target()
    whole = run(key, target, DeterministicAdvi())
    part = run(key, target, DeterministicAdvi(), max_steps=steps)
    again = run(key, target, DeterministicAdvi(), state=part.state)
    np.testing.assert_array_equal(again.gaussian.mean, whole.gaussian.mean)
    np.testing.assert_array_equal(again.gaussian.metric.dense(), whole.gaussian.metric.dense())
    assert (again.elbo, again.cost, again.status) == (whole.elbo, whole.cost, whole.status)


@pytest.mark.parametrize("family", list(FAMILIES.values()), ids=list(FAMILIES))
def test_every_gradient_is_counted(family, key, monkeypatch):
    """An independent count, a Hessian-vector product two. Catches: products or rejected trials not charged."""
    evaluated, multiplied = [], []

    def counting(target, x):
        evaluated.append(len(np.atleast_2d(x)))
        return evaluate(target, x)

    def counting_products(target, x, v):
        multiplied.append(len(x))
        return hessian_products(target, x, v)

    for module in (_score, _starts, _deterministic, _indefinite):
        monkeypatch.setattr(module, "evaluate", counting)
    monkeypatch.setattr(_deterministic, "hessian_products", counting_products)
    result = run(key, banana_target(), DeterministicAdvi(family, num_pairs=13))
    assert multiplied
    assert result.cost.gradients == sum(evaluated) + 2 * sum(multiplied)
    assert result.cost.idle_lanes == sum(-count % 8 for count in (*evaluated, *multiplied, *multiplied))


@pytest.mark.parametrize("family", list(FAMILIES.values()), ids=list(FAMILIES))
def test_walls_are_survived_and_counted(family, key):
    """Catches: an infinite value that the optimiser accepts, a start whose fixed draws are outside, no end."""
    box = callable_target(_box, {"x": np.zeros(4)}, {"half": np.asarray(1.5)})
    wide = Gaussian(np.zeros(4), DiagonalMetric(np.full(4, 20.0)))
    result = run(key, box, DeterministicAdvi(family, start=wide))
    assert np.all(np.isfinite(result.gaussian.mean)) and np.isfinite(result.elbo.value)
    assert np.all(np.asarray(result.gaussian.metric.diagonal()) < 4.0)
    assert result.status in (FitStatus.settled, FitStatus.converged)
    assert result.repairs.nonfinite_points > 0 and result.repairs.rejected_updates > 0
    assert result.cost.gradients < 20_000


def test_failures_are_statuses(key):
    """Catches: an exception, an endless loop, a flat direction that is reported as settled."""
    assert run(key, nowhere_finite_target(), DeterministicAdvi()).status is FitStatus.no_finite_start
    assert run(key, flat_direction_target(3), DeterministicAdvi()).status is FitStatus.diverged


@pytest.mark.parametrize(
    "algorithm",
    [
        DeterministicAdvi(LowRank(rank=2)),
        DeterministicAdvi(Dense(), num_pairs=5),
        DeterministicAdvi(Dense(), num_pairs=3, matched=False),
    ],
    ids=["low rank", "few pairs", "few plain draws"],
)
def test_unbounded_objectives_are_refused(algorithm, gaussian_problem, key):
    """Giordano et al. 2024: fewer draws than dimensions leave the objective without a minimum."""
    with pytest.raises(ValueError, match="Diagonal"):
        algorithm.init(key, gaussian_problem)


def test_enough_plain_draws_are_accepted(gaussian_problem, key):
    """Seven independent draws span six dimensions about their mean; the limit is not stricter than it must be."""
    DeterministicAdvi(Dense(), num_pairs=4, matched=False).init(key, gaussian_problem)
    DeterministicAdvi(Dense(), num_pairs=6).init(key, gaussian_problem)
