"""Bridge sampling: the integral of an unnormalised density from its draws and those of a Gaussian, with its error.

The Gaussian is made from one half of the chains and the identity used on the other, then the other way round, and both estimates are
averaged (Gronau et al. 2017, J. Math. Psych. 81, use one half only). To first order the error that draws bring in is the product of
how both halves stray, the same in both estimates: it does not shrink by averaging. That of the proposals does.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, DenseMetric, DiagonalMetric
from monochord.mixing import ess_of_means

MAX_ROUNDS, TOLERANCE = 1000, 1e-10  # of the fixed point, in log r; it contracts
DENSE_LIMIT = 250  # coordinates; above it only scales are taken from the draws
PRIOR_DRAWS = 10.0  # and one for each coordinate: what the metric of the chains counts for beside the draws


@dataclasses.dataclass(frozen=True)
class Bridge:
    """log ∫p with its standard error (nats), and the proposals that were evaluated."""

    log_integral: float
    standard_error: float
    num_proposals: int


class BridgeRatio(NamedTuple):
    """Log of a ratio of integrals, and the variances (nats²) that the proposals and the draws bring into it."""

    log_ratio: float
    of_proposals: float
    of_draws: float


NONE = BridgeRatio(math.nan, math.inf, math.inf)


def bridge_ratio(
    at_draws: Float[np.ndarray, "chains draws"], at_proposals: Float[np.ndarray, " proposals"], ess: float | int
) -> BridgeRatio:
    """Log of ∫p/∫q from log p − log q at draws of p and at independent draws of q.

    The fixed point of the optimal bridge (Meng & Wong 1996, Statistica Sinica 6), with `ess` as the number of draws of
    p (Gronau et al. 2017); the variances are those of Frühwirth-Schnatter (2004, Econometrics Journal 7), whose spectral density
    at zero is here Var over the ESS of the bridge's own function. −∞ at a proposal is a density of zero. Infinite variances
    where no ratio exists.
    """
    l1, l2 = np.asarray(at_draws, np.float64), np.asarray(at_proposals, np.float64)
    if not (np.all(np.isfinite(l1)) and np.any(np.isfinite(l2))) or np.any(np.isnan(l2)):
        return NONE
    s1 = ess / (ess + len(l2))
    log_r = float(np.median(l1))
    for _ in range(MAX_ROUNDS):
        over_q, over_p = _terms(l1, l2, s1, log_r)
        step = float(np.log(over_q.mean()) - np.log(over_p.mean()))
        log_r += step
        if not abs(step) > TOLERANCE:
            break
    else:
        return NONE
    effective = float(ess_of_means(over_p[:, :, None])[0]) if np.ptp(over_p) > 0 else float(over_p.size)
    of_draws = over_p.var() / (max(effective, 1.0) * over_p.mean() ** 2)
    return BridgeRatio(log_r, float(over_q.var() / (len(over_q) * over_q.mean() ** 2)), float(of_draws))


def _terms(l1, l2, s1: float, log_r: float) -> tuple[np.ndarray, np.ndarray]:
    """p/(s₁p + s₂q) at draws of q and q/(s₁p + s₂q) at draws of p, with p over its integral as far as it is known."""
    s2 = 1.0 - s1
    with np.errstate(over="ignore"):
        return 1.0 / (s1 + s2 * np.exp(-(l2 - log_r))), 1.0 / (s1 * np.exp(l1 - log_r) + s2)


def bridge(
    rng: np.random.Generator,
    log_density: Callable[[np.ndarray], np.ndarray],
    x: Float[np.ndarray, "chains draws dim"],
    values: Float[np.ndarray, "chains draws"],
    metric: AbstractMetric,
    num_proposals: int,
) -> Bridge:
    """The integral of p, as log ∫p, from draws `x` of p with log densities `values`; `metric` is what the chains ran with.

    `log_density` is called at `num_proposals` points, half of them for each half of the chains.
    """
    halves = _halves(x, values)
    found = []
    for (fitted, _), (judged, known) in (halves, halves[::-1]):
        gaussian = moments_gaussian(fitted, metric)
        proposals = gaussian.sample(rng, num_proposals // 2)
        at_proposals = log_density(proposals) - np.asarray(gaussian.log_prob(proposals))
        at_draws = known - np.asarray(gaussian.log_prob(judged))
        ess = float(np.median(ess_of_means(judged)))
        found.append(bridge_ratio(at_draws, at_proposals, max(ess, 1.0)))
    logs, of_proposals, of_draws = np.array(found).T
    error = math.sqrt(of_proposals.sum() / 4.0 + np.mean(np.sqrt(of_draws)) ** 2)
    return Bridge(float(logs.mean()), error, 2 * (num_proposals // 2))


def _halves(x, values):
    """Every second chain and the others; of a single one the first half and the second."""
    if len(x) > 1:
        return (x[::2], values[::2]), (x[1::2], values[1::2])
    middle = x.shape[1] // 2
    return (x[:, :middle], values[:, :middle]), (x[:, middle:], values[:, middle:])


def moments_gaussian(x: Float[np.ndarray, "chains draws dim"], metric: AbstractMetric) -> Gaussian:
    """Mean and covariance of draws, the covariance drawn towards `metric` as by `PRIOR_DRAWS` + dim more."""
    dim, ess = x.shape[2], float(np.median(ess_of_means(x)))
    mean = x.mean((0, 1))
    z = np.asarray(metric.whiten(x.reshape(-1, dim) - mean))
    share = ess / (ess + PRIOR_DRAWS + dim)
    if dim > DENSE_LIMIT:
        return Gaussian(mean, _scaled(metric, np.sqrt(share * z.var(0) + 1.0 - share)))
    inner = share * (z.T @ z) / len(z) + (1.0 - share) * np.eye(dim)
    factor = np.asarray(metric.unwhiten(np.linalg.cholesky((inner + inner.T) / 2).T)).T
    covariance = factor @ factor.T
    return Gaussian(mean, DenseMetric.from_covariance((covariance + covariance.T) / 2))


def _scaled(metric: AbstractMetric, scales: np.ndarray) -> AbstractMetric:
    """A diagonal metric by its own scales; of others all coordinates by their mean variance."""
    if isinstance(metric, DiagonalMetric):
        return DiagonalMetric(np.asarray(metric.scale) * scales)
    return metric
