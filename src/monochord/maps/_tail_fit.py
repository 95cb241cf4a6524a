"""`tail_map`: the tails of single coordinates, from the points and scores of a fit, without a gradient of its own.

What other coordinates do to a score is taken out first, as the fit's Gaussian has it or not at all: −Σ_{j≠i} P_ij (x_j − m_j). What is
left, r, is a function of x_i alone where that coordinate has tails of its own. Under a map with the slope T' the pulled score is
r T' + (log T')', and a standard Gaussian's is −u. So the parameters are those of least mean (u + r T' + (log T')')², the
Fisher divergence of score matching (Hyvärinen 2005, JMLR 6, 695–709) over the points at hand. On a target of the form itself the
least is 0, from points of any distribution. A Student-t is linear in what it does not know,
s (x − m)² + ν c² s + (ν + 1)(x − m) = 0, and needs no search.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special, stats

from monochord.gaussian import Gaussian
from monochord.maps._tail import TailMap
from monochord.targets import Evaluations

FEWEST = 40  # points
STARTS = (0.0, 1.0, -1.0)  # skewness
ROUNDS, DIFFERENCE = 40, 1e-6
MOST_SKEWED, LIGHTEST, HEAVIEST = 4.0, 5.0, 0.2  # bounds of skewness and tail
MIN_DEGREES, MAX_DEGREES = 1.0, 100.0
# Of a coordinate's score that is not linear in it: the least that is looked at, and the share that a map may leave. Gumbel, Student and
# log-gamma laws have .1 to 3 and leave .01 to .15 of it. Noise that does not lean on the coordinate keeps more than .9
STANDS_OUT, LEFT = 0.05, 0.25
LEFT_OF_ALL = 0.5  # the same of all coordinates together: where more stays trouble lies elsewhere
SIMPLER = 0.5  # a Student-t, which has a parameter less, where it leaves that share of what the other family does


class _Law(NamedTuple):
    """By coordinate: parameters of a map of standardised coordinates, and the mean square that it leaves."""

    loc: np.ndarray
    log_scale: np.ndarray
    skewness: np.ndarray
    log_tail: np.ndarray
    degrees: np.ndarray
    left: np.ndarray

    def where(self, better: Bool[np.ndarray, " dim"], other: "_Law") -> "_Law":
        return _Law(*(np.where(better, mine, its) for mine, its in zip(self, other, strict=True)))


def tail_map(gaussian: Gaussian, draws: Evaluations) -> TailMap | None:
    """The map of the coordinates whose own score is not linear, or None where it would not explain the scores.

    `draws` are points of any distribution with scores there. A coordinate is moved where its score, the others taken out, is
    not linear in it (a share of `STANDS_OUT`) and the map leaves less than a quarter of that.
    """
    points = draws.take(np.flatnonzero(draws.finite()))
    if len(points.x) < FEWEST:
        return None
    mean, unit = points.x.mean(0), points.x.std(0)
    if not np.all(unit > 0):
        return None
    precision = np.asarray(gaussian.metric.solve(np.eye(gaussian.dim)))
    by_others = (points.x - np.asarray(gaussian.mean)) @ (precision - np.diag(np.diag(precision)))
    z = (points.x - mean) / unit
    found, plain = None, np.zeros(gaussian.dim)
    for score in (points.score * unit, (points.score + by_others) * unit):
        linear, slope, start = _linear(z, score)
        law = _fitted(z, score, slope, start)
        better = np.ones(gaussian.dim, bool) if found is None else law.left < found.left
        found, plain = (law if found is None else law.where(better, found)), np.where(better, linear, plain)
    assert found is not None
    moves = (plain > STANDS_OUT) & (found.left < LEFT * plain)
    left = np.where(moves, found.left, plain)
    if not np.any(moves) or not left.sum() < LEFT_OF_ALL * plain.sum():
        return None
    scale = np.exp(found.log_scale)
    return TailMap.of(
        np.where(moves, mean + unit * found.loc, 0.0),
        np.where(moves, unit * scale, 1.0),
        np.where(moves, found.skewness, 0.0),
        np.where(moves, np.exp(found.log_tail), 1.0),
        np.where(moves, found.degrees, np.inf),
    )


def _linear(z, score) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean square of what a Gaussian's score leaves, in its own unit; its precision and its mean."""
    cross, center = np.mean(z * score, axis=0), score.mean(0)
    slope = np.maximum(-cross, 0.05)  # standardised; a Gaussian 4 times as wide as the points
    left = np.mean((score - center + slope * z) ** 2, axis=0) / slope
    return left, slope, np.clip(center / slope, z.min(0), z.max(0))


def _fitted(z, score, slope, start) -> _Law:
    """The better of both families, by coordinate."""
    best = None
    for skewness in STARTS:
        law = _searched(z, score, slope, start, skewness)
        best = law if best is None else law.where(law.left < best.left, best)
    assert best is not None
    student = _student(z, score)
    return student.where(student.left < SIMPLER * best.left, best)


def _searched(z, score, slope, start, skewness: float) -> _Law:
    """Levenberg and Marquardt's method on all coordinates at once, from a Gaussian's centre and width."""
    width = 1.0 / np.sqrt(slope)
    at = np.stack([
        start - width * np.sinh(skewness), np.log(width / np.cosh(skewness)), np.full_like(width, skewness), np.zeros_like(width)
    ])  # fmt: skip
    unit = np.stack([width, np.ones_like(width), np.ones_like(width), np.ones_like(width)])
    damping, here = np.full(len(width), 1e-2), _residuals(at, z, score)
    left = np.mean(here**2, axis=0)
    for _ in range(ROUNDS):
        table = []
        for k in range(4):
            step = np.zeros((4, 1))
            step[k] = DIFFERENCE
            ahead, behind = (_residuals(at + sign * step * unit, z, score) for sign in (1.0, -1.0))
            table.append((ahead - behind) / (2.0 * DIFFERENCE))
        jacobian = np.stack(table, axis=-1)
        square = np.einsum("ndi,ndj->dij", jacobian, jacobian)
        diagonal = np.einsum("dii->di", square) * damping[:, None] + 1e-12
        pull = np.einsum("ndi,nd->di", jacobian, here)
        change = np.linalg.solve(square + diagonal[:, :, None] * np.eye(4), pull[..., None])[..., 0].T
        new = at - np.clip(change, -1.0, 1.0) * unit
        new[2] = np.clip(new[2], -MOST_SKEWED, MOST_SKEWED)
        new[3] = np.clip(new[3], np.log(HEAVIEST), np.log(LIGHTEST))
        there = _residuals(new, z, score)
        now = np.mean(there**2, axis=0)
        falls = now < left
        at, here, left = np.where(falls, new, at), np.where(falls, there, here), np.where(falls, now, left)
        damping = np.where(falls, np.maximum(damping / 5.0, 1e-12), np.minimum(4.0 * damping, 1e6))
    return _Law(*at, np.full(len(width), np.inf), left)


def _residuals(at, z, score):
    """U + r T' + (log T')' of sinh-arcsinh maps."""
    loc, log_scale, skewness, log_tail = at
    tail, scale = np.exp(log_tail), np.exp(log_scale)
    y = (z - loc) / scale
    u = np.sinh(tail * np.arcsinh(y) - skewness)
    slope = np.sqrt(1.0 + y**2) / (tail * np.sqrt(1.0 + u**2))  # of y in u
    return u + score * scale * slope + y * slope / (1.0 + y**2) - u / (1.0 + u**2)


def _student(z, score) -> _Law:
    """Student-t laws by linear least squares; those that are none leave infinity."""
    design = np.stack([score * z, score, z, np.ones_like(z)], axis=-1)
    size = np.sqrt(np.mean(design**2, axis=0)) + 1e-300
    scaled = design / size[None]
    square = np.einsum("ndi,ndj->dij", scaled, scaled) + 1e-12 * len(z) * np.eye(4)
    right = np.einsum("ndi,nd->di", scaled, -score * z**2)
    first, second, third, _ = (np.linalg.solve(square, right[..., None])[..., 0] / size).T
    loc, degrees = -0.5 * first, third - 1.0
    spread = second - loc**2  # ν c²
    usable = (degrees > MIN_DEGREES) & (degrees < MAX_DEGREES) & (spread > 0)
    degrees, scale = np.where(usable, degrees, 5.0), np.sqrt(np.where(usable, spread, 5.0) / np.where(usable, degrees, 5.0))
    law, y = stats.t(degrees), (z - loc) / scale
    u = -np.sign(y) * special.ndtri(law.cdf(-np.abs(y)))
    slope = scale * np.exp(stats.norm.logpdf(u) - law.logpdf(y))
    gap = score + (degrees + 1.0) * (z - loc) / (degrees * scale**2 + (z - loc) ** 2)
    left = np.where(usable, np.mean((gap * slope) ** 2, axis=0), np.inf)
    zero = np.zeros_like(loc)
    return _Law(loc, np.log(scale), zero, zero, degrees, left)
