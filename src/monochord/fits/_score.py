"""The evidence for a Gaussian q from scores at draws of its own: ELBO, score residual, repairs."""

import numpy as np

from monochord.estimate import Estimate, mean_estimate
from monochord.fits._base import Scored
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget, Evaluations, evaluate

NUM_RAYS = 4
RAY_STEPS = np.array([-4.0, -2.0, 2.0, 4.0])  # in deviations of a Gaussian's log radius; 0 is the point itself


def antithetic_batch(
    target: AbstractTarget, gaussian: Gaussian, rng: np.random.Generator, num_pairs: int
) -> Evaluations:
    """Scores at `num_pairs` antithetic pairs of draws (first half plus, second half minus)."""
    z = rng.standard_normal((num_pairs, gaussian.dim))
    return evaluate(target, gaussian.place(np.concatenate([z, -z])))


def elbo_terms(gaussian: Gaussian, points: Evaluations) -> np.ndarray:
    """Log p − log q at each point, in nats (p without its constant)."""
    return points.log_density - np.asarray(gaussian.log_prob(points.x))


def residual_terms(gaussian: Gaussian, points: Evaluations) -> np.ndarray:
    """‖Lᵀ(score_p − score_q)‖² / dim at each point; its mean is the score residual, 0 iff p = q."""
    with np.errstate(over="ignore", invalid="ignore"):
        gap = gaussian.metric.whiten_covector(points.score - np.asarray(gaussian.score(points.x)))
        return (np.asarray(gap) ** 2).sum(1) / gaussian.dim


def coordinate_residuals(gaussian: Gaussian, points: Evaluations) -> np.ndarray:
    """Squared score gap of each coordinate as a share of the fit's own score variance, (n, dim).

    The mean over points is the part of coordinate i's score that no linear score explains:
    E (score_p − score_q)ᵢ² / (Σ⁻¹)ᵢᵢ. The score residual averages over dimensions, so that one heavy
    log scale among hundreds of easy coordinates hardly moves it; this names the coordinate.
    """
    gap = points.score - np.asarray(gaussian.score(points.x))
    return gap**2 / np.asarray(gaussian.metric.precision_diagonal())


def pair_mean(terms: np.ndarray) -> Estimate:
    """Mean over antithetic pairs; a pair counts once, and pairs with a non-finite member not at all."""
    pairs = terms.reshape(2, -1).mean(0)
    with np.errstate(over="ignore"):  # of the square of a huge one: the error is then infinite
        return mean_estimate(pairs[np.isfinite(pairs)])


def scored(gaussian: Gaussian, points: Evaluations) -> Scored:
    """Evidence from an antithetic batch drawn from `gaussian`.

    Terms at points where the density is zero or not a number are left out here (they are counted as
    `nonfinite_points`), so that a truncated target can still rank candidates.
    """
    finite = points.finite()
    elbo = np.where(finite, elbo_terms(gaussian, points), np.nan)
    residual = np.where(finite, residual_terms(gaussian, points), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        shares = coordinate_residuals(gaussian, points.take(finite))
        worst = float(np.max(shares.mean(0))) if np.any(finite) else np.inf
    return Scored(gaussian, pair_mean(elbo), pair_mean(residual), worst=worst)


def radial_spread(target: AbstractTarget, mean: np.ndarray, points: Evaluations) -> tuple[Estimate, Evaluations]:
    """Spread of log radius along the rays from `mean` through `points`, over a Gaussian's; and the points spent.

    On a ray the density of u = log radius is exp(dim·u + log p): for a Gaussian its deviation is 1/√(2·dim), and on
    the grid of `RAY_STEPS` such deviations the discrete one is 1. A Student t keeps its own spread in any dimension,
    while the draws of a fitted Gaussian stay on a shell that thins like 1/√dim.
    """
    dim = points.x.shape[1]
    shift = RAY_STEPS / np.sqrt(2.0 * dim)
    places = mean + np.exp(shift)[:, None, None] * (points.x - mean)
    along = evaluate(target, places.reshape(-1, dim))
    heights = np.where(along.finite(), along.log_density, -np.inf).reshape(len(shift), -1)
    log_mass = np.concatenate([heights + dim * shift[:, None], points.log_density[None]])
    steps = np.append(RAY_STEPS, 0.0)[:, None]
    mass = np.exp(log_mass - log_mass.max(0))
    mass /= mass.sum(0)
    centre = np.sum(mass * steps, axis=0)
    return mean_estimate(np.sqrt(np.sum(mass * (steps - centre) ** 2, axis=0))), along
