"""`hierarchical_map`: the `BorderedMap` of a target whose terms are known (`found_terms`).

What the terms leave of the precision is measured around a point and held constant, as that of a likelihood is. Blocks and border are
chosen so that factorisations cost little: what many lean on goes into the border, and what cuts long chains.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from monochord.maps._additive import _clipped
from monochord.maps._bordered import BorderedMap
from monochord.maps._noded import NodedMap
from monochord.maps._split import split_blocks
from monochord.maps._terms import Terms
from monochord.targets import Evaluations

FLOOR = 1e-9  # of a precision, left everywhere


def hierarchical_map(nodes: Sequence[Terms], points: Evaluations) -> BorderedMap | NodedMap | None:
    """The map, what the terms leave of the score taken from `points`; None where no blocks are narrow enough.

    Of one set of terms, or of sets that differ in one coordinate they are given, in equal steps.
    """
    found = nodes[len(nodes) // 2]
    members, given = found.members, found.given[0] if len(nodes) > 1 else None
    rest = _clipped(found.rest[np.ix_(members, members)])
    priors = [np.stack([term.precision[np.ix_(members, members)] for term in node.terms]) for node in nodes]
    total = rest + priors[len(nodes) // 2].sum(0)
    rest = rest + FLOOR * np.diag(np.diag(total))
    split = split_blocks(total, np.any([prior != 0 for prior in priors], axis=(0, 1)))
    if split is None:
        return None
    rest = _kept(rest, *split)
    left = _left(nodes, given, points, members, rest)
    maps = [_one(node, prior, rest, left, split) for node, prior in zip(nodes, priors, strict=True)]
    made = maps[0] if given is None else NodedMap.of(given, _reach([node.at[given] for node in nodes]), maps)
    return made if np.all(made.is_sound(points.x)) else None


def _kept(rest: Float[np.ndarray, "n n"], border: list[int], blocks: list[list[int]]) -> Float[np.ndarray, "n n"]:
    """`rest` without what couples two blocks; and blocks to the border, where it would not be positive otherwise."""
    block = np.full(len(rest), -1)
    for number, own in enumerate(blocks):
        block[own] = number
    same = block[:, None] == block
    touching = np.where(same | (block < 0) | (block[:, None] < 0), rest, 0.0)
    is_positive = np.linalg.eigvalsh(touching)[0] > -FLOOR * np.max(np.diag(rest), initial=0.0)
    return touching if is_positive else np.where(same, rest, 0.0)


def _reach(values: list[float]) -> float:
    """What makes them `node_values`."""
    return float((values[-1] - values[0]) / (2.0 * np.arctanh(1.0 - 1.0 / len(values))))


def _one(found: Terms, prior, rest, left, split: tuple[list[int], list[list[int]]]) -> BorderedMap:
    """The map of one set of terms, with `rest` and `left` of what they leave."""
    members, scales, (border, blocks) = found.members, np.array(found.scales), split
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
    return BorderedMap(
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


def _left(
    nodes: Sequence[Terms], given: int | None, points: Evaluations, members, rest
) -> Float[np.ndarray, " members"]:
    """What is left of the score of members at the point looked at, were it linear in them as `rest` says, on average over points.

    The terms at a point are those of the node nearest to it.
    """
    usable = points.take(np.flatnonzero(points.finite()))
    x, at = usable.x, nodes[0].at
    fields = np.stack([node.fields(x).sum(0) for node in nodes])
    nearest = np.zeros(len(x), int)
    if given is not None:
        nearest = np.argmin(np.abs(x[:, given, None] - [node.at[given] for node in nodes]), axis=1)
    score = (usable.score + fields[nearest, np.arange(len(x))])[:, members]
    return np.mean(score + (x - at)[:, members] @ rest, axis=0)
