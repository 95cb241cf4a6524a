"""Which coordinates can be moved at once, so that a step of all says what a step of each would.

Where moving i changes no score of j and the reverse, log p = f(y_i, rest) + g(y_j, rest), and what the two do to any other score adds.
A difference of scores is then read row by row as that of the one moved coordinate that touches the row (Curtis, Powell & Reid 1974), and
rows that many touch, as those of a mean, are read off their own columns, the matrix being symmetric (Powell & Toint 1979).
"""

import numpy as np
from jaxtyping import Bool, Float, Int

NOISE = 1e-10  # of a score
MAX_TRIED = 8  # numbers of coordinates that move alone, twice

Touch = Bool[np.ndarray, "dim dim"]


def touching(changes: Float[np.ndarray, "dim dim"], size: Float[np.ndarray, " dim"]) -> Touch:
    """Which coordinates touch each other: a step of one changes the score of the other by more than rounding of its `size`, or to what is not finite."""
    found = ~(np.abs(changes) <= NOISE * size)
    return found | found.T | np.eye(len(found), dtype=bool)


def apart(touch: Touch, among: Int[np.ndarray, " n"]) -> list[np.ndarray]:
    """Few sets of coordinates, none of which touches another of its set."""
    return _coloured(touch[np.ix_(among, among)], among)


def told_apart(touch: Touch, classes: list[np.ndarray]) -> tuple[list[np.ndarray], Int[np.ndarray, " alone"]]:
    """Sets of coordinates of one class each, few of them, and those coordinates that are a set of their own so that there are few.

    Any other two of a set touch no row in common, but for rows of coordinates that move alone: these rows are read off the columns of
    what moves alone. Tried are the coordinates whose rows keep most pairs apart, in growing numbers.
    """
    rows = np.concatenate(classes)
    counts = np.stack([touch[np.ix_(own, rows)].sum(0) for own in classes])
    pairs = np.sum(counts * (counts - 1), axis=0)
    order = np.argsort(-pairs, kind="stable")
    ends = np.flatnonzero(np.diff(pairs[order], append=0))  # of those that keep as many apart
    tried = {0, *(1 + ends[:MAX_TRIED]), *(2 ** np.arange(MAX_TRIED))}
    most = np.count_nonzero(pairs)
    found = (_sets(touch, classes, rows[order[:count]]) for count in sorted(tried) if count <= most)
    return min(found, key=lambda one: len(one[0]))


def seen_by_columns(touch: Touch, rows: Int[np.ndarray, " rows"], alone: Int[np.ndarray, " alone"]) -> Touch:
    """The entries that columns tell: those of rows of coordinates that move alone are told by their own columns."""
    seen = touch & np.isin(np.arange(len(touch)), rows)
    seen[np.ix_(np.setdiff1d(rows, alone), alone)] = False
    return seen


def filled(matrix: np.ndarray, seen: Touch) -> np.ndarray:
    """A symmetric matrix of which some entries are told by their transpose alone; entries that neither tells are 0."""
    return np.where(seen, matrix, np.swapaxes(matrix, -1, -2))


def _sets(touch: Touch, classes: list[np.ndarray], alone: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    seen = touch[:, np.setdiff1d(np.concatenate(classes), alone)].astype(np.float32)
    found = [np.array([i]) for i in alone]
    for own in classes:
        others = np.setdiff1d(own, alone)
        found += _coloured(seen[others] @ seen[others].T > 0, others)
    return found, np.asarray(alone, int)


def _coloured(conflict: Bool[np.ndarray, "n n"], names: Int[np.ndarray, " n"]) -> list[np.ndarray]:
    """Sets of names without a conflict: each in turn, those of most conflicts first, into the first set that takes it."""
    sets: list[list[int]] = []
    blocked = np.zeros((0, len(names)), bool)
    for i in np.argsort(-conflict.sum(1), kind="stable"):
        free = np.flatnonzero(~blocked[:, i])
        if not len(free):
            sets.append([])
            blocked = np.concatenate([blocked, np.zeros((1, len(names)), bool)])
            free = [len(sets) - 1]
        sets[free[0]].append(int(i))
        blocked[free[0]] |= conflict[i]
    return [np.asarray(names)[np.sort(own)] for own in sets]
