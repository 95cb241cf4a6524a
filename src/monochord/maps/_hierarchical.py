"""`hierarchical_map`: the `BorderedMap` of a target whose terms are known (`found_terms`).

What the terms leave of the precision is measured around a point and held constant, as that of a likelihood is. Blocks and border are
chosen so that factorisations cost little: what many lean on goes into the border, and what cuts long chains.
"""

import numpy as np
from jaxtyping import Bool, Float

from monochord.maps._additive import _clipped, _components
from monochord.maps._bordered import BorderedMap
from monochord.maps._terms import Terms
from monochord.targets import Evaluations

DEAREST = 100**3  # multiplications of the factorisations: dense ones of that width cost half a millisecond a gradient
LINKED = 0.03  # partial correlation from which on two coordinates are of one block
THIN = 0.15  # of a block: more of it do not cut it in two
FLOOR = 1e-9  # of a precision, left everywhere


def hierarchical_map(found: Terms, points: Evaluations) -> BorderedMap | None:
    """The map, what the terms leave of the score taken from `points`; None where no blocks are narrow enough."""
    members, scales = found.members, np.array(found.scales)
    rest = _clipped(found.rest[np.ix_(members, members)])
    prior = np.stack([term.precision[np.ix_(members, members)] for term in found.terms])
    total = rest + prior.sum(0)
    rest = rest + FLOOR * np.diag(np.diag(total))
    split = _split(total, np.any(prior != 0, axis=0))
    if split is None:
        return None
    border, blocks = split
    left = _left(found, points, members, rest)
    exponents = np.zeros((1 + len(found.terms), len(scales)))
    for row, term in enumerate(found.terms, start=1):
        for j, c in term.exponents.items():
            exponents[row, int(np.flatnonzero(scales == j)[0])] = c
    precisions = np.concatenate([rest[None], prior])
    pulls = np.concatenate([left[None], -np.stack([term.field[members] for term in found.terms])])
    width, dim = max(map(len, blocks)), len(found.at)
    at, padded = np.full((len(blocks), width), dim), np.full((len(blocks), width), len(members))
    for row, block in enumerate(blocks):
        at[row, : len(block)], padded[row, : len(block)] = members[block], block
    wide = np.pad(precisions, ((0, 0), (0, 1), (0, 1)))
    precision = wide[:, padded[:, :, None], padded[:, None, :]]
    precision[0] += np.eye(width) * (padded == len(members))[:, :, None]
    made = BorderedMap(
        members=at,
        border=members[border].astype(int),
        scales=scales,
        center=found.at,
        exponents=exponents,
        precision=precision,
        coupling=wide[:, padded[:, :, None], np.array(border, int)],
        border_precision=precisions[:, border][:, :, border],
        pull=np.pad(pulls, ((0, 0), (0, 1)))[:, padded],
        border_pull=pulls[:, border],
    )
    return made if _is_sound(made, points) else None


def _is_sound(made: BorderedMap, points: Evaluations) -> bool:
    """Whether precisions are positive at all points."""
    try:
        return bool(np.all(np.isfinite(made.inverse(points.x))))
    except np.linalg.LinAlgError:
        return False


def _left(found: Terms, points: Evaluations, members, rest) -> Float[np.ndarray, " members"]:
    """What is left of the score of members at the point looked at, were it linear in them as `rest` says, on average over points."""
    usable = points.take(np.flatnonzero(points.finite()))
    score = usable.score[:, members] + found.fields(usable.x).sum(0)[:, members]
    return np.mean(score + (usable.x - found.at)[:, members] @ rest, axis=0)


def _split(
    precision: Float[np.ndarray, "n n"], linked: Bool[np.ndarray, "n n"]
) -> tuple[list[int], list[list[int]]] | None:
    """Border and blocks: by all correlations, or by the terms alone where those leave too wide ones."""
    size = np.sqrt(np.diag(precision))
    correlated = linked | (np.abs(precision / np.outer(size, size)) > LINKED)
    for graph in (correlated, linked):
        border, blocks = _cut(graph & ~np.eye(len(graph), dtype=bool))
        if _price(border, blocks) <= DEAREST:
            return border, blocks
    return None


def _price(border, blocks) -> int:
    """Multiplications of the factorisations."""
    return len(border) ** 3 + sum(len(b) ** 3 + len(b) ** 2 * len(border) + len(b) * len(border) ** 2 for b in blocks)


def _cut(graph: Bool[np.ndarray, "n n"]) -> tuple[list[int], list[list[int]]]:
    """Coordinates are moved to the border while that makes factorisations cheaper: what most lean on, or what cuts in two."""
    border: list[int] = []
    blocks = _components(graph, list(range(len(graph))))
    while True:
        widest = max(blocks, key=len)
        best = None
        for out in (_hub(graph, widest), _middle(graph, widest)):
            if len(out) > max(1, THIN * len(widest)):
                continue
            left = [i for i in range(len(graph)) if i not in border and i not in out]
            tried = ([*border, *out], _components(graph, left))
            if left and (best is None or _price(*tried) < _price(*best)):
                best = tried
        if best is None or _price(*best) >= _price(border, blocks):
            return border, blocks
        border, blocks = best


def _hub(graph, block: list[int]) -> list[int]:
    return [max(block, key=lambda i: int(graph[i, block].sum()))]


def _middle(graph, block: list[int]) -> list[int]:
    """Those halfway between two ends."""
    levels = _levels(graph, block, _levels(graph, block, [block[0]])[-1][:1])
    reached, half = 0, len(block) / 2.0
    for level in levels:
        reached += len(level)
        if reached >= half:
            return level
    return levels[-1]


def _levels(graph, block: list[int], first: list[int]) -> list[list[int]]:
    levels, seen = [first], set(first)
    while True:
        following = sorted({j for i in levels[-1] for j in block if graph[i, j]} - seen)
        if not following:
            return levels
        levels.append(following)
        seen |= set(following)
