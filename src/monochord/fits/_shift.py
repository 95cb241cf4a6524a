"""A jump of the mean where the scores say that only the mean is wrong.

The score match moves a mean that is many scales away in small steps: its trust region, the term ḡḡᵀ,
narrows Σ instead. Where the gap between the scores of p and q is nearly the same at every point of a
batch, a linear score explains it, and the Newton step x̄ + Σḡ of the centred match is the answer.
"""

import numpy as np

from monochord.fits._match import match
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily
from monochord.targets import Evaluations

CONSTANT_SHARE = 0.9  # of the mean squared gap that the mean gap must explain


def is_shifted(gaussian: Gaussian, points: Evaluations) -> bool:
    """True where the mean is off by more than a unit of the whitened space and that explains the gap."""
    if len(points.x) < 8:
        return False
    gap = np.asarray(gaussian.metric.whiten_covector(points.score - np.asarray(gaussian.score(points.x))))
    mean_square = float(np.mean(np.sum(gap**2, axis=1)))
    constant = float(np.sum(gap.mean(0) ** 2))
    return constant > gaussian.dim and constant > CONSTANT_SHARE * mean_square


def newton_shift(family: AbstractFamily, prior: Gaussian, points: Evaluations, strength: float) -> Gaussian:
    """The centred match: the score's mean is taken as a shift and kept out of the covariance."""
    score_mean = points.score.mean(0)
    centred = Evaluations(points.x, points.log_density, points.score - score_mean)
    x_mean = points.x.mean(0)
    matched = match(family, Gaussian(x_mean, prior.metric), centred, strength)
    return Gaussian(x_mean + np.asarray(matched.metric.matvec(score_mean)), matched.metric)
