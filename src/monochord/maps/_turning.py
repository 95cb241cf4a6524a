"""`turning_drivers`: which coordinates turn the axes of all others, read off points and scores already paid for.

Given its drivers a Gaussian block's score is linear in the block, with coefficients that move with the drivers: linear regressions on the
block times monomials of a few coordinates, judged by what they leave of points that they have not seen.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.maps._cholesky import monomials, num_terms, saturated

MAX_DIM, FEWEST_PAIRS = 24, 20  # a block of more has too many ties for a map (`_cholesky_fit`)
MAX_DRIVERS = 3
FALLS = 1.2  # ratio of what is left of a typical unseen point, from which on another driver is worth having
FILLED = 0.7  # of the points, regressors at most
OWN_DEGREE = 3  # monomials of the drivers alone; those times the block are of degrees 1 and 2


class Turning(NamedTuple):
    """Drivers, most telling first, and what linear regressions leave of a typical point's scores of all others, without and with them."""

    drivers: tuple[int, ...] = ()
    plain: float = 0.0
    left: float = 0.0


def turning_drivers(x: Float[np.ndarray, "n dim"], score: Float[np.ndarray, "n dim"]) -> Turning:
    """Coordinates that the scores of all others lean on as on drivers; none where that explains no more.

    Of antithetic points, halves one after the other, pairs are left out together.

    **Raises** `LinAlgError` where the points say nothing of some direction.
    """
    num, dim = len(x) // 2 * 2, x.shape[1]
    if num < 2 * FEWEST_PAIRS or not 3 <= dim <= MAX_DIM:
        return Turning()
    z, scaled = ((x - x.mean(0)) / x.std(0))[:num], (score * x.std(0))[:num]
    found: tuple[int, ...] = ()
    while len(found) < min(MAX_DRIVERS, dim - 2):
        falls = {}
        for j in set(range(dim)) - set(found):
            before, after = (_least_unseen(z, scaled, these, (*found, j)) for these in (found, (*found, j)))
            falls[j] = before / after if after < math.inf else 0.0
        best = max(falls, key=falls.__getitem__)
        if not falls[best] > FALLS:
            break
        found = (*found, best)
    return Turning(found, _least_unseen(z, scaled, (), found), _least_unseen(z, scaled, found, found))


def _least_unseen(z, score, drivers: tuple[int, ...], apart: tuple[int, ...]) -> float:
    """`_left_unseen` of all but the coordinates `apart`, so that no driver is judged by its own score; the better degree."""
    others = [i for i in range(z.shape[1]) if i not in apart]
    return min(_left_unseen(z, score, drivers, others, degree) for degree in ((1, 2) if drivers else (0,)))


def _left_unseen(z, score, drivers: tuple[int, ...], others: list[int], degree: int) -> float:
    """What regressions on all but the drivers, times monomials of the drivers, leave of the `others` at a typical pair that they have not seen.

    Infinite where there are too few points. Typical: a geometric mean, which a few points in the tails do not decide.
    """
    block = [i for i in range(z.shape[1]) if i not in drivers]
    w = saturated(z[:, list(drivers)])
    terms = monomials(w, OWN_DEGREE) if drivers else np.ones((len(z), 1))
    fewer = terms[:, : num_terms(len(drivers), degree)]
    products = fewer[:, :, None] * z[:, None, block]
    design = np.concatenate([terms, products.reshape(len(z), -1)], axis=1)
    if design.shape[1] > FILLED * len(z):
        return math.inf
    design = design / np.maximum(np.sqrt(np.mean(design**2, axis=0)), 1e-300)
    whitened = score[:, others] @ np.linalg.cholesky(np.cov(z[:, others].T).reshape(len(others), -1))
    gram = design.T @ design + 1e-6 * len(z) * np.eye(design.shape[1])
    hat = design @ np.linalg.solve(gram, design.T)
    left, half = whitened - hat @ whitened, len(z) // 2
    pairs = np.stack([np.arange(half), half + np.arange(half)], axis=1)
    own = np.eye(2) - hat[pairs[:, :, None], pairs[:, None, :]]
    unseen = np.linalg.solve(own, left[pairs])
    return float(np.exp(np.mean(np.log(np.mean(unseen**2, axis=(1, 2)) + 1e-300))))
