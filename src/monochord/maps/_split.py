"""Which coordinates form blocks and which their border, such that factorisations of an arrowhead cost little.

What many lean on goes into the border, as the mean of groups does, and what cuts long chains in two.
"""

import numpy as np
from jaxtyping import Bool, Float

DEAREST = 100**3  # multiplications of the factorisations: dense ones of that width cost half a millisecond a gradient
LINKED = 0.03  # partial correlation from which on two coordinates are of one block
THIN = 0.15  # of a block: more of it do not cut it in two

Split = tuple[list[int], list[list[int]]]  # the border, and the blocks


def split_blocks(precision: Float[np.ndarray, "n n"], linked: Bool[np.ndarray, "n n"]) -> Split | None:
    """By all correlations, or by `linked` alone where those leave too much to factorise; None where these do too."""
    size = np.sqrt(np.diag(precision))
    correlated = linked | (np.abs(precision / np.outer(size, size)) > LINKED)
    for graph in (correlated, linked):
        split = cut(graph & ~np.eye(len(graph), dtype=bool))
        if price(split) <= DEAREST:
            return split
    return None


def price(split: Split) -> int:
    """Multiplications of the factorisations."""
    border, blocks = split
    return len(border) ** 3 + sum(len(b) ** 3 + len(b) ** 2 * len(border) + len(b) * len(border) ** 2 for b in blocks)


def cut(graph: Bool[np.ndarray, "n n"]) -> Split:
    """The border grows while that makes factorisations cheaper."""
    found: Split = ([], _components(graph, list(range(len(graph)))))
    while len(found[0]) ** 3 <= DEAREST:
        border, blocks = found
        widest, tried = max(blocks, key=len), []
        for out in (_hub(graph, widest), _middle(graph, widest)):
            others = [i for i in widest if i not in out]
            if others and len(out) <= max(1, THIN * len(widest)):
                rest = [block for block in blocks if block is not widest]
                tried.append(([*border, *out], [*rest, *_components(graph, others)]))
        best = min(tried, key=price, default=found)
        if price(best) >= price(found):
            break
        found = best
    return found


def _components(graph, among: list[int]) -> list[list[int]]:
    found, left = [], set(among)
    while left:
        block = [i for level in _levels(graph, sorted(left), [min(left)]) for i in level]
        left -= set(block)
        found.append(sorted(block))
    return found


def _hub(graph, block: list[int]) -> list[int]:
    return [block[int(np.argmax(graph[np.ix_(block, block)].sum(1)))]]


def _middle(graph, block: list[int]) -> list[int]:
    """Those halfway between two ends."""
    levels = _levels(graph, block, _levels(graph, block, [block[0]])[-1][:1])
    reached = np.cumsum([len(level) for level in levels])
    return levels[int(np.argmax(reached >= len(block) / 2.0))]


def _levels(graph, block: list[int], first: list[int]) -> list[list[int]]:
    """By distance from the first."""
    inside = np.zeros(len(graph), bool)
    inside[block] = True
    inside[first] = False
    levels = [first]
    while len(following := np.flatnonzero(graph[levels[-1]].any(0) & inside)):
        inside[following] = False
        levels.append(following.tolist())
    return levels
