"""Coordinates along which all others' scores change in geometric sequences, with ratios they share: logarithms of scales.

Moved along s in equal steps δ, a score e^{−cs} q + (what does not hold s) changes in a geometric sequence of ratio e^{−cδ}, and one
of two exponents in a sum of two: a linear recurrence with the same coefficients for all scores (Prony 1795). It holds to
rounding or not at all.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Score = Callable[[np.ndarray], np.ndarray]  # (n, dim) points to (n, dim) scores

NUM_STEPS = 4  # two ratios, and as many equations again
MAX_ORDER = 2
TOUCHED = 1e-8  # change of a score, over the largest score
HOLDS = 1e-6  # of the largest change of one score in a sequence
NOISE = 1e-10  # of a score
SPEEDS = (0.005, 20.0)  # size of c δ
FEWEST = 3  # scores that change in sequences of two ratios
FORETOLD = 1e-4  # of the change of a score, at steps beyond those that gave two ratios


class Sequence(NamedTuple):
    """Exponents c of a coordinate, and the coordinates whose scores change with it, in sequences."""

    exponents: Float[np.ndarray, " order"]
    touched: Int[np.ndarray, " touched"]


def sequences(score: Score, at: Float[np.ndarray, " dim"], unit: Float[np.ndarray, " dim"]) -> dict[int, Sequence]:
    """By coordinate, those that are logarithms of scales, for all that steps of `unit` from `at` say. Spends 1 + 4 dim gradients, and 4 for each of two
    exponents.
    """
    dim = len(at)
    steps = np.array([-2, -1, 1, 2])
    points = at + np.einsum("k,ij->ikj", steps, np.diag(unit))
    scores = score(np.concatenate([at[None], points.reshape(-1, dim)])) * unit
    found = {}
    for j in range(dim):
        along = np.insert(scores[1 + NUM_STEPS * j : 1 + NUM_STEPS * (j + 1)], NUM_STEPS // 2, scores[0], axis=0)
        one = _sequence(along, j) if np.all(np.isfinite(along)) else None
        if one is not None and (len(one.exponents) == 1 or _goes_on(score, at, unit, j, along, one)):
            found[j] = Sequence(-np.log(one.exponents) / unit[j], one.touched)
    return found


def _sequence(scores: Float[np.ndarray, "steps dim"], j: int) -> Sequence | None:
    """The sequence of scores at steps along coordinate j, ratios in place of exponents."""
    changes = np.diff(scores, axis=0)
    size, most = np.max(np.abs(scores), axis=0), np.max(np.abs(changes), axis=0)
    is_touched = most > np.maximum(TOUCHED * size.max(), NOISE * size)
    is_bent = np.max(np.abs(np.diff(changes, n=2, axis=0)), axis=0) > HOLDS * most + NOISE * size  # quadratics apart
    is_touched[j] = False
    touched = np.flatnonzero(is_touched & is_bent)
    if not len(touched):
        return None
    y = changes[:, touched] / most[touched]
    slack = HOLDS + NOISE * size[touched] / most[touched]
    for order in range(1, 1 + (MAX_ORDER if len(touched) >= FEWEST else 1)):
        ratios = _ratios(y, order)
        if ratios is not None and _holds(y, ratios, slack):
            return Sequence(ratios, touched)
    return None


def _goes_on(score: Score, at, unit, j: int, along: Float[np.ndarray, "steps dim"], one: Sequence) -> bool:
    """Whether two ratios foretell scores further on: they fit any changes that are in proportion to each other."""
    far = np.array([-4, -3, 3, 4])
    near = np.arange(NUM_STEPS + 1) - NUM_STEPS // 2
    beyond = score(at + far[:, None] * unit[j] * np.eye(len(at))[j])[:, one.touched] * unit[one.touched]
    here = along[:, one.touched]

    def basis(steps):
        return np.concatenate([np.ones((len(steps), 1)), one.exponents[None, :] ** steps[:, None]], axis=1)

    said = basis(far) @ np.linalg.lstsq(basis(near), here, rcond=None)[0]
    size = np.max(np.abs(beyond - here[NUM_STEPS // 2]), axis=0)
    return bool(np.all(np.abs(beyond - said) < FORETOLD * size + NOISE * np.max(np.abs(beyond), axis=0)))


def _ratios(y: Float[np.ndarray, "n columns"], order: int) -> Float[np.ndarray, " order"] | None:
    """Roots of the linear recurrence that the columns of y share, where all are positive and neither 1 nor too far from it."""
    design = np.stack([y[order - 1 - k : len(y) - 1 - k].ravel() for k in range(order)], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(design, y[order:].ravel(), rcond=1e-9)
    ratios = np.roots([1.0, *-coefficients])
    if rank < order or np.any(np.imag(ratios) != 0) or np.any(np.real(ratios) <= 0):
        return None
    ratios = np.sort(np.real(ratios))
    speeds = np.abs(np.log(ratios))
    return ratios if np.all((speeds > SPEEDS[0]) & (speeds < SPEEDS[1])) else None


def _holds(y, ratios, slack) -> bool:
    basis = ratios[None, :] ** np.arange(len(y))[:, None]
    left = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    return bool(np.all(np.abs(left) < slack))
