"""Bounds on κ that hold for every matrix: from the KL, from the triangle, from convexity in the log scales."""

import numpy as np
import pytest

from monochord import Gaussian
from monochord.metrics import DenseMetric, DiagonalMetric, LowRankMetric
from monochord.spectra import condition_number, langmore_number, squared_frequencies

SWEEP = pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.nightly)])  # random cases of a law


def _inverse(matrix):
    inverse = np.linalg.inv(matrix)
    return (inverse + inverse.T) / 2


def _largest_kappa(kl):
    """(e^KL + √(e^2KL − 1))²: the largest κ at a KL."""
    return (np.exp(kl) + np.sqrt(np.expm1(2 * kl))) ** 2


def _metric_near(covariance, size, rng):
    """A metric of a random family that differs from the covariance by about `size` on the log scale."""
    dim = len(covariance)
    scale = np.sqrt(np.diag(covariance)) * np.exp(0.5 * size * rng.standard_normal(dim))
    kind = rng.integers(3)
    if kind == 0:
        return DiagonalMetric(scale)
    if kind == 1:
        basis = np.linalg.qr(rng.standard_normal((dim, 2)))[0]
        return LowRankMetric(scale, basis, np.exp(size * rng.standard_normal(2)))
    bend = np.linalg.qr(np.eye(dim) + 0.3 * size * rng.standard_normal((dim, dim)))[0]
    root = np.linalg.cholesky(covariance) @ (bend * np.exp(0.5 * size * rng.standard_normal(dim)))
    return DenseMetric.from_covariance(root @ root.T)


@SWEEP
def test_kl_certificate(count, random_spd, rng):
    """κ ≤ (e^KL + √(e^2KL − 1))² in either direction of the KL, for every family; a gap of the means adds to it.

    No random pair violates it, some within 10 % of the bound. Catches: a KL without its ½ or its log-determinant,
    κ of the wrong product. Control: the bound of half the KL is violated.
    """
    slack, halved = [], 0
    for _ in range(count):
        dim = int(rng.integers(2, 7))
        hessian = random_spd(dim, rng.uniform(0.1, 1.5))
        exact = DenseMetric.from_covariance(_inverse(hessian))
        metric = _metric_near(_inverse(hessian), np.exp(rng.uniform(-4, 0.5)), rng)
        mean = exact.unwhiten(rng.standard_normal(dim))
        p, q = Gaussian(mean, exact), Gaussian(mean, metric)
        kappa = condition_number(squared_frequencies(metric, hessian))
        for kl in (q.kl(p), p.kl(q)):
            slack.append(np.log(_largest_kappa(kl)) - np.log(kappa))
            halved += kappa > _largest_kappa(kl / 2)
        assert Gaussian(mean + metric.unwhiten(np.full(dim, 0.1)), metric).kl(p) > q.kl(p)
    assert min(slack) > -1e-9
    assert min(slack) < 0.1
    assert halved > count / 10


@pytest.mark.parametrize("kappa", [1.33, 8.76, 216.0])
def test_kl_certificate_is_attained(kappa, random_spd):
    """Equality at the spectrum (2/(1 + κ), 2κ/(1 + κ), 1, ..., 1): no smaller bound is right. KL .01, .5 and 2."""
    spectrum = np.array([2 / (1 + kappa), 2 * kappa / (1 + kappa), 1.0, 1.0, 1.0])
    hessian = random_spd(5, 1.0)
    values, vectors = np.linalg.eigh(hessian)
    root = vectors / np.sqrt(values)  # H^-1/2 up to a rotation
    metric = DenseMetric.from_covariance((root * spectrum) @ root.T)
    kl = Gaussian(np.full(5, 0.7), metric).kl(Gaussian(np.full(5, 0.7), DenseMetric.from_covariance(_inverse(hessian))))
    measured = condition_number(squared_frequencies(metric, hessian))
    assert measured == pytest.approx(kappa, rel=1e-9)
    assert _largest_kappa(kl) == pytest.approx(kappa, rel=1e-6)


@SWEEP
def test_hilbert_triangle(count, random_spd, rng):
    """κ(M̂⁻¹H) ≤ κ(M̂⁻¹N) κ(N⁻¹H) for every N: log κ is a distance, symmetric and blind to scale.

    Catches: an unordered spectrum, κ of ω for κ of ω². Control: κ^½ on the right is violated.
    """

    ratios, control = [], 0
    for _ in range(count):
        dim, spread = int(rng.integers(2, 7)), rng.uniform(0.1, 1.0)
        mass, between, hessian = (random_spd(dim, spread) for _ in range(3))
        first, second = (DenseMetric.from_covariance(_inverse(matrix)) for matrix in (mass, between))
        direct = condition_number(squared_frequencies(first, hessian))
        back = condition_number(squared_frequencies(first, between))
        assert condition_number(squared_frequencies(second, 3.7 * mass)) == pytest.approx(back, rel=1e-7)
        detour = back * condition_number(squared_frequencies(second, hessian))
        ratios.append(detour / direct)
        control += np.sqrt(detour) < direct
    assert min(ratios) > 1 - 1e-9
    assert min(ratios) < 1.5, "the random triples never come near the bound"
    assert control > count / 10


def _figures(log_scale, hessian):
    """log κ, log of the Frobenius norm, and log κ_L of the rescaled Hessian."""
    squared = squared_frequencies(DiagonalMetric(np.exp(log_scale)), hessian)
    return np.log([condition_number(squared), np.linalg.norm(squared), langmore_number(squared)])


def _most_convex_violation(count, random_spd, rng):
    """Largest f(middle) − mean of f(ends), for the three figures, and the same for κ itself in the scales (control)."""
    worst, gains = np.full(3, -np.inf), []
    for _ in range(count):
        dim = int(rng.integers(2, 9))
        hessian = random_spd(dim, rng.uniform(0.1, 2.0))
        first, second = rng.standard_normal((2, dim)) * np.exp(rng.uniform(-3, 1))
        ends = (_figures(first, hessian) + _figures(second, hessian)) / 2
        middle = _figures((first + second) / 2, hessian)
        in_scales = _figures(np.log((np.exp(first) + np.exp(second)) / 2), hessian)
        worst = np.maximum(worst, middle - ends)
        gains.append(in_scales - ends)
    return worst, np.max(gains, axis=0)


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_log_kappa_convex(count, random_spd, rng):
    """log κ, log ‖·‖_F and log κ_L of diag(s) H diag(s) are convex in log s: the best diagonal is a convex problem.

    Midpoints of random pairs. Catches: a spectrum that is clipped or rescaled on its way. Control: at midpoints of
    the scales themselves the law is violated.
    """
    worst, control = _most_convex_violation(count, random_spd, rng)
    assert worst.max() < 1e-9
    assert control.max() > 0.05
