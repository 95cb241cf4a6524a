"""Laws of single coordinates by score matching, all coordinates at once.

Under a map with the slope T' a score r becomes r T' + (log T')', and a standard Gaussian's is −u. The parameters are those of least
mean (u + r T' + (log T')')², the Fisher divergence of score matching (Hyvärinen 2005, JMLR 6, 695–709) over the points at hand: 0 on
a target of the form itself, from points of any distribution. A Student-t is linear in what it does not know,
s (x − m)² + ν c² s + (ν + 1)(x − m) = 0, and needs no search.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from monochord.maps._tail import TailMap

FIRST_SKEWNESS = 1.0  # one search starts without, one with it, of the sign that the scores have
ROUNDS, DIFFERENCE = 60, 1e-6
SETTLED, IDLE = 1e-6, 4  # a search ends where no coordinate gains that share in so many steps
# Of skewness, log tail and log reach
LOWEST, HIGHEST = np.array([-6.0, np.log(0.05), np.log(0.05)]), np.array([6.0, np.log(10.0), np.log(5.0)])
MIN_DEGREES, MAX_DEGREES = 1.0, 100.0
SIMPLER = 0.5  # a Student-t, which has two parameters less, where it leaves that share of what the other family does

Table = Float[np.ndarray, "num dim"]


class Law(NamedTuple):
    """By coordinate: parameters of a map of standardised coordinates, and the mean square that it leaves."""

    loc: np.ndarray
    log_scale: np.ndarray
    skewness: np.ndarray
    log_tail: np.ndarray
    log_reach: np.ndarray
    degrees: np.ndarray
    left: np.ndarray

    def where(self, better: Bool[np.ndarray, " dim"], other: "Law") -> "Law":
        """Parameters of this law where it is the better one, of the other elsewhere."""
        return Law(*(np.where(better, mine, its) for mine, its in zip(self, other, strict=True)))

    def map(self) -> TailMap:
        """As a map."""
        scale, tail, reach = np.exp([self.log_scale, self.log_tail, self.log_reach])
        return TailMap.of(self.loc, scale, self.skewness, tail, reach, self.degrees)


def best_gaussian(z: Table, score: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the best Gaussian leaves, its width and its mean: of x = m + c u the least mean ((z − m)/c + c r)², in closed form.

    Where r is −z/c² and noise of the variance ς² that does not lean on z, it leaves ς²c², and less where that is large.
    """
    cross, center = np.mean((z - z.mean(0)) * score, axis=0), score.mean(0)
    width = np.sqrt(z.std(0) / np.maximum(score.std(0), 1e-300))
    left = 2.0 * np.maximum(z.std(0) * score.std(0) + cross, 0.0)
    return left, width, z.mean(0) + center * width**2


def fitted(z: Table, score: Table) -> Law:
    """The best law found for each coordinate, `z` standardised."""
    bent = np.mean((score - score.mean(0)) * (z**2 - 1.0), axis=0)
    best = searched(z, score, _first(z, score, np.zeros(z.shape[1])))
    skewed = searched(z, score, _first(z, score, FIRST_SKEWNESS * np.sign(bent)))
    best = skewed.where(skewed.left < best.left, best)
    student = _student(z, score)
    return student.where(student.left < SIMPLER * best.left, best)


def _first(z, score, skewness) -> Law:
    """A Gaussian's centre and width, and a skewness."""
    _, width, center = best_gaussian(z, score)
    zero = np.zeros(z.shape[1])
    return Law(
        center - width * np.sinh(skewness), np.log(width / np.cosh(skewness)), skewness, zero, zero, np.full_like(zero, np.inf), zero
    )  # fmt: skip


def searched(z: Table, score: Table, first: Law, rounds: int = ROUNDS) -> Law:
    """Levenberg and Marquardt's method from `first` on; coordinates with a Student-t stay."""
    at, unit = np.stack(first[:5]), np.ones((5, z.shape[1]))
    unit[0] = np.exp(first.log_scale)
    damping, here = np.full(z.shape[1], 1e-2), _residuals(at, z, score)
    left, idle = np.mean(here**2, axis=0), 0
    for _ in range(rounds):
        jacobian = _jacobian(at, unit, z, score)
        square = np.einsum("ndi,ndj->dij", jacobian, jacobian)
        diagonal = np.einsum("dii->di", square) * damping[:, None] + 1e-12
        pull = np.einsum("ndi,nd->di", jacobian, here)
        change = np.linalg.solve(square + diagonal[:, :, None] * np.eye(5), pull[..., None])[..., 0].T
        new = at - np.clip(change, -1.0, 1.0) * unit
        new[2:] = np.clip(new[2:], LOWEST[:, None], HIGHEST[:, None])
        there = _residuals(new, z, score)
        now = np.mean(there**2, axis=0)
        falls = now < left
        idle = 0 if np.any(now < (1.0 - SETTLED) * left) else idle + 1
        at, here, left = np.where(falls, new, at), np.where(falls, there, here), np.where(falls, now, left)
        damping = np.where(falls, np.maximum(damping / 5.0, 1e-12), np.minimum(4.0 * damping, 1e6))
        if idle == IDLE:
            break
    return Law(at[0], at[1], at[2], at[3], at[4], np.full(z.shape[1], np.inf), left)


def _jacobian(at, unit, z, score):
    """Central differences of the residuals, over `unit`."""
    table = []
    for k in range(len(at)):
        step = np.zeros((len(at), 1))
        step[k] = DIFFERENCE
        ahead, behind = (_residuals(at + sign * step * unit, z, score) for sign in (1.0, -1.0))
        table.append((ahead - behind) / (2.0 * DIFFERENCE))
    return np.stack(table, axis=-1)


def _residuals(at, z, score):
    """U + r T' + (log T')' of sinh-arcsinh maps, a the reach times u."""
    loc, log_scale, skewness, log_tail, log_reach = at
    tail, scale, reach = np.exp(log_tail), np.exp(log_scale), np.exp(log_reach)
    y = (z - loc) / scale
    a = np.sinh(tail * np.arcsinh(y) - skewness)
    slope = reach * np.sqrt(1.0 + y**2) / (tail * np.sqrt(1.0 + a**2))  # of y in u
    return a / reach + score * scale * slope + y * slope / (1.0 + y**2) - reach * a / (1.0 + a**2)


def _student(z, score) -> Law:
    """Student-t laws by linear least squares; what is none leaves infinity."""
    design = np.stack([score * z, score, z, np.ones_like(z)], axis=-1)
    size = np.sqrt(np.mean(design**2, axis=0)) + 1e-300
    scaled = design / size[None]
    square = np.einsum("ndi,ndj->dij", scaled, scaled) + 1e-12 * len(z) * np.eye(4)
    right = np.einsum("ndi,nd->di", scaled, -score * z**2)
    first, second, third, _ = (np.linalg.solve(square, right[..., None])[..., 0] / size).T
    loc, degrees = -0.5 * first, third - 1.0
    spread = second - loc**2  # ν c²
    usable = (degrees > MIN_DEGREES) & (degrees < MAX_DEGREES) & (spread > 0)
    degrees, spread = np.where(usable, degrees, 5.0), np.where(usable, spread, 5.0)
    scale = np.sqrt(spread / degrees)
    y = (z - loc) / scale
    u = -np.sign(y) * special.ndtri(special.stdtr(degrees, -np.abs(y)))
    log_density = special.gammaln(0.5 * degrees + 0.5) - special.gammaln(0.5 * degrees) - 0.5 * np.log(degrees * np.pi)
    log_density = log_density - 0.5 * (degrees + 1.0) * np.log1p(y**2 / degrees)
    slope = scale * np.exp(-0.5 * u**2 - log_density) / np.sqrt(2.0 * np.pi)
    gap = score + (degrees + 1.0) * (z - loc) / (spread + (z - loc) ** 2)
    zero = np.zeros_like(loc)
    return Law(
        loc, np.log(scale), zero, zero, zero, degrees, np.where(usable, np.mean((gap * slope) ** 2, axis=0), np.inf)
    )
