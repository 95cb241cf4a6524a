"""Coordinates along which all others' scores change in geometric sequences, with ratios they share: logarithms of scales.

Moved along s in equal steps δ, a score e^{−cs} q + (what does not hold s) changes in a geometric sequence of ratio e^{−cδ}, and one
of two exponents in a sum of two: a linear recurrence with the same coefficients for all scores (Prony 1795). It holds to
rounding or not at all.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from monochord.maps._together import NOISE, Touch, apart, touching

Score = Callable[[np.ndarray], np.ndarray]  # (n, dim) points to (n, dim) scores

NUM_STEPS = 4  # two ratios, and as many equations again
MAX_ORDER = 2
TOUCHED = 1e-8  # change of a score, over the largest score
HOLDS = 1e-6  # of the largest change of one score in a sequence
SPEEDS = (0.005, 20.0)  # size of c δ
FEWEST = 3  # scores that change in sequences of two ratios
FORETOLD = 1e-4  # of the change of a score, at steps beyond those that gave two ratios


class Near(NamedTuple):
    """Scores, in units, at a place and a step of each coordinate to either side; and which coordinates touch each other."""

    middle: Float[np.ndarray, " dim"]
    back: Float[np.ndarray, "dim dim"]
    forth: Float[np.ndarray, "dim dim"]
    touch: Touch


class Sequence(NamedTuple):
    """Exponents c of a coordinate, and the coordinates whose scores change with it, in sequences."""

    exponents: Float[np.ndarray, " order"]
    touched: Int[np.ndarray, " touched"]


def scores_near(score: Score, at: Float[np.ndarray, " dim"], unit: Float[np.ndarray, " dim"]) -> Near:
    """Spends 1 + 2 dim gradients."""
    dim, steps = len(at), np.diag(unit)
    scores = score(np.concatenate([at[None], at - steps, at + steps])) * unit
    middle, back, forth = scores[0], scores[1 : 1 + dim], scores[1 + dim :]
    changes = np.maximum(np.abs(back - middle), np.abs(forth - middle))
    return Near(middle, back, forth, touching(changes, np.max(np.abs(scores), axis=0)))


def sequences(
    score: Score, at: Float[np.ndarray, " dim"], unit: Float[np.ndarray, " dim"], near: Near
) -> dict[int, Sequence]:
    """By coordinate, those that are logarithms of scales, for all that steps of `unit` from `at` say.

    Spends 2 gradients for each coordinate that some score is more than quadratic in, and 4 for each of two exponents.
    """
    suspects, found = _suspects(score, at, unit, near), {}
    if not len(suspects):
        return {}
    far = np.array([at + side * step(unit, int(j)) for j in suspects for side in (-2.0, 2.0)])
    beyond = (score(far) * unit).reshape(len(suspects), 2, len(at))
    for j, (low, high) in zip(suspects, beyond, strict=True):
        along = np.stack([low, near.back[j], near.middle, near.forth[j], high])
        one = _sequence(along, int(j)) if np.all(np.isfinite(along)) else None
        if one is not None and (len(one.exponents) == 1 or _goes_on(score, at, unit, int(j), along, one)):
            found[int(j)] = Sequence(-np.log(one.exponents) / unit[j], one.touched)
    return found


def step(unit: Float[np.ndarray, " dim"], i: int) -> Float[np.ndarray, " dim"]:
    """A step of coordinate i alone."""
    e = np.zeros(len(unit))
    e[i] = unit[i]
    return e


def _suspects(score: Score, at, unit, near: Near) -> Int[np.ndarray, " suspects"]:
    """Coordinates that other scores are not quadratic in, or may not be: sets that do not touch are moved at once, two steps, and what they do adds."""
    middle, back, forth, touch = near
    most = np.maximum(np.abs(back - middle), np.abs(forth - middle))
    size = np.maximum(np.abs(middle), np.max(most, axis=0, where=np.isfinite(most), initial=0.0))
    bends = np.abs(back + forth - 2.0 * middle) > HOLDS * most + NOISE * size
    np.fill_diagonal(bends, False)
    sets = apart(touch, np.flatnonzero(np.any(bends, axis=1) & np.all(np.isfinite(back + forth), axis=1)))
    many, found = [own for own in sets if len(own) > 1], [own for own in sets if len(own) == 1]
    scores = score(np.array([at + 2.0 * sum(step(unit, int(j)) for j in own) for own in many])) * unit if many else []
    for own, reached in zip(many, scores, strict=True):
        said = middle + np.sum(3.0 * forth[own] + back[own] - 4.0 * middle, axis=0)
        holds = np.abs(reached - said) <= NOISE * np.maximum(size, np.abs(reached))
        if not np.all(np.delete(holds, own)):
            found.append(own)
    return np.sort(np.concatenate(found)) if found else np.zeros(0, int)


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
