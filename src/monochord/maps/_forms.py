"""What is exponential in some coordinates and whatever in the rest: which exponents occur together, and what moves with them.

Scores near a place are r(y) − Σ_t w_t(s) F_t(y), log w_t = −Σ_j c_tj (s_j − at_j), for the s_j that `sequences` has named. On a grid of s at
one y the F_t are the solution of a linear system, and so are the changes of those that hold y_i, as that moves.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from monochord.maps._sequences import Near, Score, Sequence, step
from monochord.maps._together import NOISE, Touch, filled, seen_by_columns, told_apart

MAX_GRID, MAX_OFFSETS = 256, 729
NUM_MOVED = 4  # coordinates that tell whether what a scale changes is linear in them
CONSISTENT = 1e-4  # of the largest entry of a field: columns on two sides, and other points
CLEAN = 1e-6  # of the largest entry of a field or matrix
STEPS = 3  # of each scale, from which those are chosen that tell terms apart

Exponents = dict[int, float]


class Form(NamedTuple):
    """The exponents c_t of a term and F_t at one place."""

    exponents: Exponents
    field: Float[np.ndarray, " dim"]


class Columns(NamedTuple):
    """∂F_t/∂y_i, by term; the curvature −∂score/∂y_i; and where two sides differ: [term, what is moved, row]."""

    matrices: Float[np.ndarray, "terms dim dim"]
    curvature: Float[np.ndarray, "dim dim"]
    bent: Bool[np.ndarray, "terms dim dim"]


def weights(exponents: list[Exponents], moved: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n terms"]:
    """w_t of points, `moved` away from the place where they are 1."""
    return np.exp(np.stack([-sum(c * moved[:, j] for j, c in own.items()) for own in exponents], axis=1))


def straight(
    score: Score, at, unit, scales: dict[int, Sequence], near: Near, rng: np.random.Generator
) -> dict[int, Sequence]:
    """The scales along which what changes is linear in most of what they touch; of the intercepts and effects of counts it is not.

    A few of these are moved one at a time. Scores of other scales, and of an autoregression's coefficient, bend; most others must not.
    """
    found = {}
    for j, one in scales.items():
        moved = rng.choice(one.touched, min(len(one.touched), NUM_MOVED), replace=False)
        steps = np.array([side * step(unit, int(i)) for i in moved for side in (-1.0, 1.0)])
        here = np.stack([of[i] for i in moved for of in (near.back, near.forth)])
        there = score(at + step(unit, j) + steps) * unit
        change = (there - near.forth[j] - here + near.middle)[:, one.touched].reshape(len(moved), 2, -1)
        size = np.max(np.abs(change), axis=1)
        moves = size > CLEAN * np.max(size)
        bends = moves & (np.abs(change.sum(1)) > CONSISTENT * size)
        is_straight = np.any(moves, axis=1) & (2 * bends.sum(1) <= moves.sum(1))
        if 2 * is_straight.sum() >= len(moved):
            found[j] = one
    return found


def joint_forms(score: Score, at, unit, scales: dict[int, Sequence]) -> list[Form]:
    """Which exponents occur together, by a grid of every set of scales that are coupled; fields of what is no scale."""
    found = []
    for together in _coupled(score, at, unit, scales):
        exponents = [np.append(0.0, scales[j].exponents) for j in together]
        counts = [range(len(own)) for own in exponents]
        table = np.array(list(itertools.product(*exponents)))  # a row for each possible term, the first constant
        if len(table) > MAX_GRID:
            continue
        offsets = np.zeros((len(table), len(at)))
        offsets[:, together] = np.array(list(itertools.product(*counts))) * unit[together]
        scores = score(at + offsets)
        fields = -np.linalg.solve(np.exp(-offsets[:, together] @ table.T), scores)[1:]
        held = {int(i) for j in together for i in scales[j].touched} - set(scales)
        fields[:, [i for i in range(len(at)) if i not in held]] = 0.0
        largest = np.max(np.abs(fields * unit))
        least = np.maximum(CLEAN * np.abs(fields).max(0) + NOISE * np.abs(scores).max(0), CLEAN * largest / unit)
        for own, field in zip(table[1:], fields, strict=True):
            if np.any(np.abs(field) > least):
                found.append(Form({j: float(c) for j, c in zip(together, own, strict=True) if c}, field))
    return found


def fields_at(score: Score, at, unit, exponents: list[Exponents], members) -> list[Form]:
    """The fields of known terms at another place, of `members`."""
    offsets = _offsets(exponents, unit)
    fields = -np.linalg.solve(_basis(exponents, offsets), score(at + offsets))[1:]
    fields[:, np.setdiff1d(np.arange(len(at)), members)] = 0.0
    return [Form(own, field) for own, field in zip(exponents, fields, strict=True)]


def _coupled(score: Score, at, unit, scales: dict[int, Sequence]) -> list[list[int]]:
    """Sets of scales that change each other's effect on what is no scale."""
    names = sorted(scales)
    pairs = list(itertools.combinations(names, 2))
    single = [step(unit, j) for j in names]
    both = [step(unit, j) + step(unit, k) for j, k in pairs]
    scores = score(at + np.array([np.zeros(len(at)), *single, *both])) * unit
    scores[:, names] = 0.0
    group = {j: j for j in names}
    changes = scores[1:] - scores[0]
    for (j, k), change in zip(pairs, changes[len(names) :], strict=True):
        own, other = changes[names.index(j)], changes[names.index(k)]
        if np.max(np.abs(change - own - other)) > CLEAN * max(np.max(np.abs(own)), np.max(np.abs(other))):
            old, new = group[k], group[j]
            group = {i: new if g == old else g for i, g in group.items()}
    return [[j for j in names if group[j] == g] for g in dict.fromkeys(group.values())]


def columns(score: Score, at, unit, forms: list[Form], scales: set[int], touch: Touch) -> Columns:
    """How fields change with each coordinate that they hold, by a step to either side of it at as many scales as tell them apart.

    Coordinates that no row tells of together are moved at once.
    """
    dim, held = len(at), _held(forms, unit, scales)
    if not held:  # nothing finite, as beyond a wall
        raise np.linalg.LinAlgError
    rows = np.array(list(held))
    offsets = {terms: _offsets([forms[t].exponents for t in terms], unit) for terms in set(held.values())}
    sets, alone = told_apart(touch, [rows[[held[i] == terms for i in held]] for terms in offsets])
    moves = [(held[own[0]], own) for own in sets]
    # scales move what else they hold too: only differences are of the terms that hold i
    points = [at + offset for terms in offsets for offset in offsets[terms]]
    for terms, own in moves:
        moved = np.where(np.isin(np.arange(dim), own), unit, 0.0)
        points += [at + side * moved + offset for side in (1.0, -1.0) for offset in offsets[terms]]
    counts = [len(offsets[terms]) for terms in (*offsets, *(terms for terms, _ in moves for _ in range(2)))]
    scores = iter(np.split(score(np.array(points)), np.cumsum(counts[:-1])))
    middle = {terms: next(scores) for terms in offsets}
    matrices, curvature = np.zeros((len(forms), dim, dim)), np.zeros((dim, dim))
    bent, seen = np.zeros((len(forms), dim, dim), bool), seen_by_columns(touch, rows, alone)
    for terms, own in moves:
        basis = _basis([forms[t].exponents for t in terms], offsets[terms])
        up, down = (next(scores) - middle[terms] for _ in range(2))
        curvature[own] = seen[own] * (down[0] - up[0]) / (2.0 * unit[own, None])
        up, down = (-np.linalg.solve(basis, change)[1:] * unit for change in (up, down))
        floor = CLEAN * np.array([np.max(np.abs(forms[t].field * unit)) for t in terms])
        for i in own:
            matrices[list(terms), i] = seen[i] * (up - down) / (2.0 * unit[i] * unit)
            bent[list(terms), i] = _bends(up, down, floor, touch[i] & np.isin(np.arange(dim), rows))
    curvature = filled(curvature, seen)
    return Columns(filled(matrices, seen), (curvature + curvature.T) / 2.0, bent)


def _bends(
    up, down, floor: Float[np.ndarray, " terms"], rows: Bool[np.ndarray, " dim"]
) -> Bool[np.ndarray, "terms dim"]:
    """Rows in which what two sides change differs: by a share of the largest change, or of `floor` where all is rounding.

    In a row that several of a set touch, it is said of each of them.
    """
    size = np.max(np.maximum(np.abs(up), np.abs(down)), axis=1, initial=0.0, where=rows)
    return rows & (np.abs(up + down) > CONSISTENT * np.maximum(size, floor)[:, None])


def _held(forms: list[Form], unit, scales: set[int]) -> dict[int, tuple[int, ...]]:
    """By coordinate that is no scale, the forms that hold it."""
    fields = np.stack([form.field * unit for form in forms])
    holds = np.abs(fields) > CLEAN * np.max(np.abs(fields), axis=1, keepdims=True)
    owned = {int(i): tuple(map(int, np.flatnonzero(holds[:, i]))) for i in np.flatnonzero(holds.any(0))}
    return {i: own for i, own in owned.items() if i not in scales}


def _basis(exponents: list[Exponents], offsets) -> Float[np.ndarray, "n one_and_terms"]:
    return np.concatenate([np.ones((len(offsets), 1)), weights(exponents, offsets)], axis=1)


def _offsets(exponents: list[Exponents], unit) -> Float[np.ndarray, "one_and_terms dim"]:
    """As many steps along scales as tell the terms and a constant apart, none the first."""
    own = sorted({j for one in exponents for j in one})
    steps = np.array(
        list(itertools.product(range(STEPS), repeat=len(own)) if STEPS ** len(own) <= MAX_OFFSETS else _pairs(len(own)))
    )
    tried = np.zeros((len(steps), len(unit)))
    tried[:, own] = steps * unit[own]
    left = _basis(exponents, tried)
    chosen = [0]
    for _ in exponents:
        way = left[chosen[-1]] / np.linalg.norm(left[chosen[-1]])
        left = left - np.outer(left @ way, way)
        chosen.append(int(np.argmax(np.sum(left**2, axis=1))))
    return tried[chosen]


def _pairs(count: int) -> list[tuple[int, ...]]:
    """Steps of two scales at most."""
    found = {(0,) * count}
    for i, j in itertools.product(range(count), repeat=2):
        for own, other in itertools.product(range(STEPS), repeat=2):
            one = [0] * count
            one[i], one[j] = own, other
            found.add(tuple(one))
    return sorted(found)
