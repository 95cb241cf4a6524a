"""The cost functional C(M): what HMC itself would minimise, from points and scores alone.

C(M) = ν(M) √λmax(M Cov) with M = Σ⁻¹: ν sets the step size (a leapfrog's energy error grows like ε⁴ν⁴), the other factor is
the scale of the slowest direction. For a Gaussian target C = κ_L, Langmore's number. In general

    ν⁴_grad = ½ Var(g′Σg),        ν⁴_hvp = ¼ (2 E‖ΣH‖²_F + Var(tr ΣH − g′Σg)),

both equal to Σ ωᵢ⁴ where H is constant: the first costs nothing beyond the scores, the second one Hessian-vector
product a point. Their ratio away from 1 says that the points do not come from the target or that it is not Gaussian.

The points must have left the fit (moved by a few transitions, importance-weighted, or draws of the posterior): on the fit's
own draws the functional prefers the fit's own metric even on a funnel, where that is the worst. It ranks metrics on
near-Gaussian and skewed targets; on funnels it flags the worst one but its fine order is wrong.
"""

import numpy as np
from jaxtyping import Float

from monochord.estimate import Estimate
from monochord.metrics import AbstractMetric
from monochord.targets import Evaluations

FOLDS = 16  # of the jackknife behind every standard error


def cost_functional(
    metric: AbstractMetric, points: Evaluations, weights: Float[np.ndarray, " n"] | None = None, folds: int = FOLDS
) -> Estimate:
    """C(M) from points and their scores; `weights` (n,) of importance, equal where None.

    Standard error by a jackknife over `folds` groups of points.
    """
    z = np.asarray(metric.whiten(points.x - points.x.mean(0)))
    squares = np.sum(np.asarray(metric.whiten_covector(points.score)) ** 2, axis=1)
    shares = np.full(len(z), 1.0 / len(z)) if weights is None else weights / weights.sum()

    def value(keep: np.ndarray) -> float:
        w = shares[keep] / shares[keep].sum()
        return float(np.sqrt(_top_variance(z[keep], w)) * _nu4(squares[keep], w) ** 0.25)

    return _jackknife(value, len(z), folds)


def energy_scale(metric: AbstractMetric, points: Evaluations) -> float:
    """ν = (½ Var(g′Σg))^¼: a leapfrog's energy error grows like (εν)⁴, so that the step size goes like 1/ν."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.sum(np.asarray(metric.whiten_covector(points.score)) ** 2, axis=1)
        return _nu4(squares, np.full(len(squares), 1.0 / len(squares))) ** 0.25


def frequency_sum(
    metric: AbstractMetric,
    points: Evaluations,
    probes: Float[np.ndarray, "n dim"],
    products: Float[np.ndarray, "n dim"],
) -> Estimate:
    """ν⁴_hvp from one product Hᵢ(L zᵢ) a point: `probes` z are random signs in whitened space, `products` H L z.

    ‖LᵀHLz‖² has mean ‖LᵀHL‖²_F and zᵀLᵀHLz mean tr ΣH (Hutchinson 1990).
    """
    whitened = np.asarray(metric.whiten_covector(products))
    frobenius = np.sum(whitened**2, axis=1)
    trace = np.sum(probes * whitened, axis=1)
    squares = np.sum(np.asarray(metric.whiten_covector(points.score)) ** 2, axis=1)
    # the variance of zᵀAz over the signs, 2(‖A‖²_F − Σ A_ii²), is not the target's: taken out by its mean
    entries = probes * whitened  # of mean A_ii
    diagonal_squares = float(np.sum(entries.mean(0) ** 2 - entries.var(0, ddof=1) / len(entries)))
    noise = 2.0 * max(float(np.mean(frobenius)) - diagonal_squares, 0.0)

    def value(keep: np.ndarray) -> float:
        spread = max(float(np.var(trace[keep] - squares[keep], ddof=1)) - noise, 0.0)
        return 0.25 * (2.0 * float(np.mean(frobenius[keep])) + spread)

    return _jackknife(value, len(squares), FOLDS)


def _nu4(squares: np.ndarray, weights: np.ndarray) -> float:
    mean = weights @ squares
    effective = 1.0 / np.sum(weights**2)
    return 0.5 * float(weights @ (squares - mean) ** 2) * effective / max(effective - 1.0, 1.0)


def _top_variance(z: np.ndarray, weights: np.ndarray) -> float:
    """Largest eigenvalue of the weighted covariance, cleared of the noise of few points.

    An eigenvalue ℓ (bulk 1) shows up as ℓ + γℓ/(ℓ − 1), γ = dim/n (Baik & Silverstein 2006); that is inverted above the
    edge (1 + √γ)² of pure noise, and below it the answer falls linearly to the bulk's own mean.
    """
    centred = (z - weights @ z) * np.sqrt(weights)[:, None]
    dim, effective = z.shape[1], 1.0 / np.sum(weights**2)
    small = centred @ centred.T if len(z) < dim else centred.T @ centred
    top = float(np.linalg.eigvalsh(small)[-1])
    bulk = max((float(np.trace(small)) - top) / max(dim - 1, 1), 1e-300) if dim > 1 else top
    gamma = dim / effective
    seen, edge = top / bulk, (1.0 + np.sqrt(gamma)) ** 2
    if seen >= edge:
        half = 0.5 * (seen + 1.0 - gamma)
        return bulk * float(half + np.sqrt(max(half**2 - seen, 0.0)))
    return bulk * float(1.0 + np.sqrt(gamma) * max(seen - 1.0, 0.0) / (edge - 1.0))


def _jackknife(value, count: int, folds: int) -> Estimate:
    folds = min(folds, count)
    groups = np.arange(count) % folds
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # absurd points under an absurd metric: infinite, and never chosen
        whole = value(np.ones(count, dtype=bool))
        left_out = np.array([value(groups != fold) for fold in range(folds)])
        error = float(np.sqrt((folds - 1) * np.mean((left_out - left_out.mean()) ** 2)))
    return Estimate(whole, error, count)
