"""Diagonal plus low rank: how far κ can fall, and what reverse KL in such families returns."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from monochord import Gaussian, LowRank
from monochord.fits import match
from monochord.metrics import DenseMetric, LowRankMetric
from monochord.spectra import condition_number, squared_frequencies
from monochord.targets import Evaluations

CASES = [
    ((1.0, 2.0, 4.0), 1, 2.0),
    ((1.0, 1.5, 7.0, 20.0), 1, 7.0),
    ((1.0, 1.5, 7.0, 20.0), 2, 1.5),
    ((0.1, 1.0, 1.3, 5.0, 6.0), 2, 6.0 / 1.3),
]


def _bound(eigenvalues, rank):
    """Least κ of cI + (rank ≤ k): the tightest window of d − k eigenvalues, min over j of λ_{d−k+j}/λ_{1+j}."""
    values = np.sort(eigenvalues)
    width = len(values) - rank
    return min(values[j + width - 1] / values[j] for j in range(rank + 1))


def _rotated(eigenvalues, rng):
    rotation = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))[0]
    matrix = (rotation * np.asarray(eigenvalues)) @ rotation.T
    return rotation, (matrix + matrix.T) / 2


def _low_rank_metric(level, basis, eigenvalues):
    return LowRankMetric(np.full(len(basis), level), np.linalg.qr(basis)[0], np.asarray(eigenvalues))


@pytest.mark.parametrize(("eigenvalues", "rank", "bound"), CASES)
def test_lowrank_bound(eigenvalues, rank, bound, rng):
    """No metric c(I + U(Λ − I)Uᵀ) of rank k has a κ below the tightest window of d − k eigenvalues; one attains it.

    2000 random metrics near the best one and far from it. Catches: a metric of a higher rank than it says, Λ for Λ⁻¹, a
    spectrum that misses eigenvalues. The control: one rank more does go below.
    """
    rotation, hessian = _rotated(eigenvalues, rng)
    dim = len(eigenvalues)
    assert _bound(eigenvalues, rank) == pytest.approx(bound, rel=1e-12)
    window = min(range(rank + 1), key=lambda j: eigenvalues[j + dim - rank - 1] / eigenvalues[j])
    kept = list(range(window, window + dim - rank))
    removed = [i for i in range(dim) if i not in kept]
    level = 1 / np.sqrt(eigenvalues[kept[0]])
    best = eigenvalues[kept[0]] / np.array(eigenvalues)[removed]
    attained = _low_rank_metric(level, rotation[:, removed], best)
    assert condition_number(squared_frequencies(attained, hessian)) == pytest.approx(bound, rel=1e-9)
    least = np.inf
    for size in np.geomspace(1e-3, 30.0, 2000):
        basis = rotation[:, removed] + size * rng.standard_normal((dim, rank))
        metric = _low_rank_metric(level, basis, best * np.exp(size * rng.standard_normal(rank)))
        least = min(least, condition_number(squared_frequencies(metric, hessian)))
    assert bound * (1 - 1e-9) < least < 1.1 * bound
    more = [*removed, kept[0]]
    inverse = eigenvalues[kept[-1]] / np.array(eigenvalues)[more]
    higher = _low_rank_metric(level, rotation[:, more], inverse)
    assert condition_number(squared_frequencies(higher, hessian)) < bound * (1 - 1e-6)


@pytest.mark.parametrize(
    ("eigenvalues", "rank", "bound"), [CASES[0], pytest.param(*CASES[1], marks=pytest.mark.nightly)]
)
def test_lowrank_bound_is_where_a_descent_ends(eigenvalues, rank, bound, rng):
    """Nelder & Mead over all rank-1 metrics from random starts ends at the bound: it is not merely a bound."""
    _, hessian = _rotated(eigenvalues, rng)
    dim = len(eigenvalues)

    def log_kappa(point):
        metric = _low_rank_metric(1.0, point[:dim, None], np.exp(np.clip(point[dim:], -9, 9)))
        return np.log(condition_number(squared_frequencies(metric, hessian)))

    options = {"maxiter": 800, "xatol": 1e-7, "fatol": 1e-9}
    starts = rng.standard_normal((4, dim + rank))
    ends = [minimize(log_kappa, start, method="Nelder-Mead", options=options).fun for start in starts]
    assert np.exp(min(ends)) == pytest.approx(bound, rel=0.02)
    assert min(ends) > np.log(bound) - 1e-9


def test_lowrank_bound_holds_for_the_match(ugly_covariance, ugly_mean):
    """The library's low-rank match is a metric of its rank: κ is at or above the bound of its own diagonal's spectrum.

    Catches: a basis with more directions than asked; a diagonal that is not the one reported.
    """
    covariance, mean = ugly_covariance(9, 3000.0), ugly_mean(9)
    precision = np.linalg.inv(covariance)
    root = 3.0 * np.linalg.cholesky(covariance).T
    x = mean + np.concatenate([root, -root])
    score = -(x - mean) @ precision
    points = Evaluations(x, 0.5 * np.sum((x - mean) * score, axis=1), score)
    prior = Gaussian(mean, DenseMetric.from_covariance(np.diag(np.diag(covariance))))
    kappas = []
    for rank in (1, 2, 4, 7):
        metric = match(LowRank(rank=rank), prior, points, 1e10).metric
        assert metric.rank == rank
        kappas.append(condition_number(squared_frequencies(metric, precision)))
        scaled = np.linalg.eigvalsh(precision * np.outer(metric.scale, metric.scale))
        assert kappas[-1] > _bound(scaled, rank) * (1 - 1e-6)
    assert kappas[0] > 3 * kappas[2] > 9 * kappas[3]


@pytest.mark.parametrize(("eigenvalues", "rank", "bound"), CASES)
def test_lowrank_reverse_kl_window(eigenvalues, rank, bound, rng):
    """KL of the best q with given removed directions is ½(d − k) log(AM/GM) of the kept ones; the best window is contiguous.

    All subsets by the library's closed-form KL, and 1000 random metrics, none of which is better. Catches: arguments of
    the KL exchanged, a missing log-determinant of Λ.
    """
    rotation, hessian = _rotated(eigenvalues, rng)
    values, dim = np.array(eigenvalues), len(eigenvalues)
    covariance = np.linalg.inv(hessian)
    mean = np.linspace(-1.0, 3.0, dim)
    target = Gaussian(mean, DenseMetric.from_covariance((covariance + covariance.T) / 2))
    found = {}
    for removed in itertools.combinations(range(dim), rank):
        kept = np.delete(values, removed)
        level = 1 / np.sqrt(kept.mean())
        metric = _low_rank_metric(level, rotation[:, list(removed)], kept.mean() / values[list(removed)])
        expected = 0.5 * len(kept) * np.log(kept.mean() / np.exp(np.log(kept).mean()))
        found[removed] = Gaussian(mean, metric).kl(target)
        assert found[removed] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    best = min(found, key=found.get)
    assert np.all(np.diff(np.delete(np.arange(dim), best)) == 1), "the kept window has a gap"
    if len(eigenvalues) == 5:
        assert found[best] == pytest.approx(1.5 * np.log(4.1 / 39 ** (1 / 3)), rel=1e-9)  # keeps 1.3, 5 and 6
    kept = np.delete(values, best)
    for size in np.geomspace(1e-3, 3.0, 1000):
        basis = rotation[:, list(best)] + size * rng.standard_normal((dim, rank))
        scale = np.exp(0.3 * size * rng.standard_normal()) / np.sqrt(kept.mean())
        eigen = kept.mean() / values[list(best)] * np.exp(size * rng.standard_normal(rank))
        assert Gaussian(mean, _low_rank_metric(scale, basis, eigen)).kl(target) > found[best] - 1e-10


def test_lowrank_vi_is_stationary(ugly_scale, rng):
    """Reverse KL in Σ = D + UUᵀ: diag(Σ⁻¹) = diag(H), (H − Σ⁻¹)U = 0, and the mean of the preconditioned spectrum is 1.

    Minimised numerically and read through the library's metric. Catches: a precision diagonal of the wrong matrix, frequencies of
    HM for HM⁻¹. Controls: forward quantities diag(Σ) = diag(H⁻¹) do not hold, and no small change lowers the KL.
    """
    dim, rank = 6, 2
    factors = np.random.default_rng(2).standard_normal((dim, 3)) * np.array([1.5, 1.0, 0.6])
    covariance = (np.eye(dim) + factors @ factors.T) * np.outer(ugly_scale(dim), ugly_scale(dim))
    hessian = np.linalg.inv(covariance)

    def parts(point):
        return jnp.exp(point[:dim]), point[dim:].reshape(dim, rank)

    @jax.jit
    @jax.value_and_grad
    def objective(point):
        diagonal, wide = parts(point)
        sigma = jnp.diag(diagonal) + wide @ wide.T
        return 0.5 * (jnp.trace(hessian @ sigma) - jnp.linalg.slogdet(sigma)[1])

    start = np.concatenate(
        [-np.log(np.diag(hessian)), (0.3 * factors[:, :rank] * np.diag(hessian)[:, None] ** -0.5).ravel()]
    )
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 30}
    found = minimize(
        lambda p: [np.asarray(v, float) for v in objective(p)], start, jac=True, options=options, method="L-BFGS-B"
    )
    diagonal, wide = (np.asarray(part) for part in parts(found.x))
    metric = DenseMetric.from_covariance(np.diag(diagonal) + wide @ wide.T)
    size = np.sqrt(np.diag(hessian))
    np.testing.assert_allclose(metric.precision_diagonal(), np.diag(hessian), rtol=1e-4)
    gap = (hessian - np.asarray(metric.solve(np.eye(dim)))) @ wide
    assert np.abs(gap / size[:, None]).max() < 1e-4
    squared = squared_frequencies(metric, hessian)
    assert squared.mean() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(squared - 1).max() > 1e-3, "the family holds the target"
    assert np.abs(np.log(metric.diagonal() / np.diag(covariance))).max() > 1e-3
    assert np.min(diagonal * np.diag(hessian)) > 0.01, "a variance of D is zero: the optimum lies on the border"
    target = Gaussian(np.zeros(dim), DenseMetric.from_covariance((covariance + covariance.T) / 2))
    least = Gaussian(np.zeros(dim), metric).kl(target)
    for _ in range(200):
        diagonal, wide = (np.asarray(part) for part in parts(found.x + 0.03 * rng.standard_normal(len(found.x))))
        near = DenseMetric.from_covariance(np.diag(diagonal) + wide @ wide.T)
        assert Gaussian(np.zeros(dim), near).kl(target) > least - 1e-9
