"""`radial_map`: the Student-t whose scores are those of the points of a fit, and the map under which it is Gaussian.

The score of a Student-t is s = −w(x) Λ(x − m), w = (df + dim)/(df c² + δ), δ = (x − m)ᵀΛ(x − m). So δ/(−sᵀ(x − m)) is linear
in δ, with the slope 1/(df + dim), and once df and c are known s/w is linear in x. The two regressions take turns. On a
Student-t their fixed point is exact, from more than dim points of any distribution, and no gradient is spent.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.maps._radial import RadialMap
from monochord.metrics import DenseMetric
from monochord.targets import Evaluations

MAX_DIM = 500  # quantiles of χ² and F in double precision hold up to here
MAX_ROUNDS, TOLERANCE = 50, 1e-12
ENOUGH = 2.0  # points for each unknown of a row of Λ; with fewer the fit's own shape stays
MIN_DEGREES, MAX_DEGREES = 0.3, 1e3  # beyond, the map is the identity to a part in a thousand
LEFT = 0.25  # of the mean squared score residual: what the Student-t leaves of what the Gaussian left, at most


class _Law(NamedTuple):
    """In whitened coordinates z: Λ, m, df and c²."""

    precision: Float[np.ndarray, "dim dim"]
    place: Float[np.ndarray, " dim"]
    degrees: float
    square: float

    def distance(self, z):
        return np.sum(((z - self.place) @ self.precision) * (z - self.place), axis=1)

    def weight(self, z):
        return (self.degrees + len(self.place)) / (self.degrees * self.square + self.distance(z))

    def score(self, z):
        return -self.weight(z)[:, None] * ((z - self.place) @ self.precision)


def radial_map(gaussian: Gaussian, draws: Evaluations) -> RadialMap | None:
    """The map of the Student-t found in `draws` (of `gaussian`, with scores), or None where none explains the scores."""
    points = draws.take(np.flatnonzero(draws.finite()))
    if not 2 <= gaussian.dim <= MAX_DIM or len(points.x) < 8:
        return None
    z = np.asarray(gaussian.metric.whiten(points.x - np.asarray(gaussian.mean)))
    score = np.asarray(gaussian.metric.whiten_covector(points.score))
    law = _fitted(z, score)
    if law is None or not np.mean((score - law.score(z)) ** 2) < LEFT * np.mean((score + z) ** 2):
        return None
    mean, metric = np.asarray(gaussian.mean, np.float64), gaussian.metric
    if law.precision is not None and _may_turn(z):
        inner = np.linalg.inv(law.precision)
        covariance = np.asarray(metric.unwhiten(np.asarray(metric.unwhiten(inner)).T))
        mean = mean + np.asarray(metric.unwhiten(law.place))
        metric = DenseMetric.from_covariance((covariance + covariance.T) / 2.0)
    return RadialMap.student(mean, metric, 0.5 * float(np.log(law.square)), law.degrees)


def _may_turn(z) -> bool:
    return len(z) >= ENOUGH * (z.shape[1] + 1)


def _fitted(z, score) -> _Law | None:
    dim = z.shape[1]
    law = _with_degrees(_Law(np.eye(dim), np.zeros(dim), 1.0, 1.0), z, score)
    for _ in range(MAX_ROUNDS if _may_turn(z) else 0):
        if law is None:
            return None
        turned = _with_shape(law, z, score)
        new = _with_degrees(turned, z, score) if turned is not None else None
        if new is None:
            return None
        settled = abs(new.degrees - law.degrees) < TOLERANCE * law.degrees
        law = new
        if settled:
            break
    return law


def _with_degrees(law: _Law, z, score) -> _Law | None:
    """Degrees of freedom and scale for a shape and place."""
    distance, pull = law.distance(z), -np.sum(score * (z - law.place), axis=1)
    usable = pull > 0
    if np.sum(usable) < 0.9 * len(z):
        return None
    ratio = distance[usable] / pull[usable]
    slope, start = np.polyfit(distance[usable], ratio, 1)
    if not (slope > 0 and start > 0):
        return None
    degrees = 1.0 / slope - z.shape[1]
    if not MIN_DEGREES < degrees < MAX_DEGREES:
        return None
    return law._replace(degrees=float(degrees), square=float(start / (slope * degrees)))


def _with_shape(law: _Law, z, score) -> _Law | None:
    """Shape and place for weights: s/w regressed on z."""
    design = np.column_stack([z, np.ones(len(z))])
    found = np.linalg.lstsq(design, -score / law.weight(z)[:, None], rcond=None)[0]
    precision = (found[:-1] + found[:-1].T) / 2.0
    if not np.all(np.isfinite(precision)) or not np.linalg.eigvalsh(precision)[0] > 0:
        return None
    return law._replace(precision=precision, place=-np.linalg.solve(precision, found[-1]))
