"""Linear scores: where they are, dim + 1 points determine the Gaussian (its scores are G = −Σ⁻¹(X − μ), without noise).

A few points between the starts tell whether the score is linear on their convex hull. If it is, no descent is needed, and
the work does not depend on the condition number. The target may still differ from a Gaussian elsewhere, so the answer is
a candidate to be judged by its own draws.
"""

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.metrics import DenseMetric
from monochord.targets import Evaluations

NUM_TESTS = 4
LINEAR_WITHIN = 1e-3  # of the size of the scores: a deviation below it leaves a residual of about its square
NUM_SPARE = 8  # points beyond dim + 1, so that a few may be lost and rounding averages out


def points_between(rng: np.random.Generator, x: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, np.ndarray]:
    """`(points, weights)`: convex combinations weights @ x of the rows of `x`, the first their mean."""
    weights = rng.dirichlet(np.ones(len(x)), NUM_TESTS)
    weights[0] = 1.0 / len(x)
    return weights @ x, weights


def is_linear(score: Float[np.ndarray, "n dim"], weights: np.ndarray, between: Evaluations) -> bool:
    """Whether scores at convex combinations are those combinations of the `score` at their corners, in each coordinate."""
    if len(score) < 2 or not np.all(between.finite()):
        return False
    off = np.max(np.abs(between.score - weights @ score), axis=0)
    return bool(np.all(off <= LINEAR_WITHIN * np.max(np.abs(score), axis=0)))


def points_around(rng: np.random.Generator, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "m dim"]:
    """Random points in the smallest cube about the mean of `x` that holds it: with `x`, `NUM_SPARE` more than dim + 1."""
    middle = x.mean(0)
    count = max(x.shape[1] + 1 + NUM_SPARE - len(x), 1)
    return middle + np.max(np.abs(x - middle)) * rng.uniform(-1.0, 1.0, (count, x.shape[1]))


def regressed(x: Float[np.ndarray, "n dim"], score: Float[np.ndarray, "n dim"]) -> Gaussian:
    """The Gaussian whose scores at `x` are `score`, by least squares on centred points; exact with n > dim in general position.

    **Raises** `numpy.linalg.LinAlgError` where the slope is not positive definite: no Gaussian has such scores.
    """
    x_mean, score_mean = x.mean(0), score.mean(0)
    slope = -np.linalg.lstsq(x - x_mean, score - score_mean, rcond=None)[0]
    diagonal = np.diag(slope)
    if len(x) <= x.shape[1] or not np.all(np.isfinite(slope)) or not np.all(diagonal > 0):
        raise np.linalg.LinAlgError("the scores are not those of a Gaussian")
    # column j is as inexact as the scores of coordinate j are large: each pair of entries is read off the better column
    size = np.sqrt(np.mean((score - score_mean) ** 2, axis=0))
    share = size[:, None] ** 2 / (size[:, None] ** 2 + size[None, :] ** 2)
    precision = share * slope + (1.0 - share) * slope.T
    unit = 1.0 / np.sqrt(diagonal)
    root = np.linalg.cholesky(precision * np.outer(unit, unit))
    half = np.linalg.solve(root, np.diag(unit))
    covariance = half.T @ half
    return Gaussian(x_mean + covariance @ score_mean, DenseMetric.from_covariance(covariance))
