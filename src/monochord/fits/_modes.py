"""Separate modes, recognised by a dip of the density on the line between two descents.

A residual cannot see a mode that the fit does not cover; only starts that end apart can. Between two points of one
log-concave region the density never falls below both ends.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from monochord.fits import _lbfgs
from monochord.fits._base import Mode
from monochord.targets import AbstractTarget, Evaluations, evaluate

BRIDGE = np.linspace(0.0, 1.0, 7)[1:-1]  # interior points of a line
# Nats below the lower end. Two normals six deviations apart have a dip of 3.3 seen from one with .3 of the mass, less
# where a descent stopped half a nat early. A search behind a shallow dip goes on; it is a mode behind a deeper one.
SHALLOW, BARRIER = 0.5, 1.5
MIN_ACCEPTED = 6  # descent steps before a search may be taken for a part of another
MAX_MODES = 4
MIN_KEPT = 2  # searches that go on to the end in any case: one of them may be stuck


def has_dip(heights, barrier: float = BARRIER) -> bool:
    """True where the log density on a line, ends included, falls below both ends by more than `barrier` nats."""
    return bool(np.min(heights) < min(heights[0], heights[-1]) - barrier)


def dips(target: AbstractTarget, here: np.ndarray, height: float, ends: Sequence[tuple[np.ndarray, float]], barrier):
    """For each end (point, log density): is there a dip between it and `here`? And the points spent on it."""
    lines = [here + BRIDGE[:, None] * (end - here) for end, _ in ends]
    points = evaluate(target, np.concatenate(lines))
    inner = np.where(points.finite(), points.log_density, -np.inf).reshape(len(ends), -1)
    found = [has_dip([height, *row, end_height], barrier) for row, (_, end_height) in zip(inner, ends, strict=True)]
    return found, points


def thinned(
    target: AbstractTarget, searches: tuple[_lbfgs.Search, ...]
) -> tuple[tuple[_lbfgs.Search, ...], Evaluations | None]:
    """`searches` without those on the way to the same place as the lowest, and the points spent.

    The lowest `MIN_KEPT` stay, and so do searches behind a dip and those that have hardly begun.
    """
    order = sorted(range(len(searches)), key=lambda i: searches[i].potential)
    best, doubtful = searches[order[0]], [i for i in order[MIN_KEPT:] if _is_ripe(searches[i], searches[order[0]])]
    if not doubtful:
        return searches, None
    apart, points = dips(
        target, best.x, -best.potential, [(searches[i].x, -searches[i].potential) for i in doubtful], SHALLOW
    )
    dropped = {i for i, dip in zip(doubtful, apart, strict=True) if not dip}
    return tuple(search for i, search in enumerate(searches) if i not in dropped), points


def _is_ripe(search: _lbfgs.Search, best: _lbfgs.Search) -> bool:
    return bool(search.num_accepted >= MIN_ACCEPTED or search.potential - best.potential < 10.0 + len(search.x))


def grouped(
    target: AbstractTarget, ends: Sequence[_lbfgs.Search]
) -> tuple[list[list[_lbfgs.Search]], list[Evaluations]]:
    """`ends`, lowest potential first, in groups with no dip between a member and the group's first; and the points spent."""
    groups, spent, waiting = [], [], list(ends)
    while waiting and len(groups) < MAX_MODES:
        first, *others = waiting
        apart = []
        if others:
            places = [(search.x, -search.potential) for search in others]
            apart, points = dips(target, first.x, -first.potential, places, BARRIER)
            spent.append(points)
        groups.append([first, *(search for search, dip in zip(others, apart, strict=True) if not dip)])
        waiting = [search for search, dip in zip(others, apart, strict=True) if dip]
    return groups, spent


def with_shares(modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """`modes`, highest ELBO first, each with its share of the mass as far as the ELBOs tell."""
    if not modes:
        return ()
    elbos = np.array([mode.elbo.value for mode in modes])
    masses = np.exp(elbos - np.max(elbos))
    shares = masses / masses.sum()
    order = np.argsort(-elbos, kind="stable")
    return tuple(dataclasses.replace(modes[i], share=float(shares[i])) for i in order)
