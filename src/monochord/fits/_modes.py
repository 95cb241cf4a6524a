"""Separate modes, recognised by a dip of the density on the line between two descents.

A residual cannot see a mode that the fit does not cover; only starts that end apart can. Between two points of one
log-concave region the density never falls below both ends.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from monochord.fits import _lbfgs
from monochord.fits._base import Mode, Scored
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


def is_concave(heights) -> bool:
    """True where the log density on a line, at equal steps and ends included, bends nowhere upwards beyond `SHALLOW` nats."""
    return bool(np.all(np.diff(heights, 2) <= SHALLOW))


def profiles(target: AbstractTarget, here: _lbfgs.Search, others: Sequence[_lbfgs.Search]):
    """Log densities on the line from `here` to each of `others`, ends included; and the points spent on it."""
    points = evaluate(target, np.concatenate([here.x + BRIDGE[:, None] * (other.x - here.x) for other in others]))
    inner = np.where(points.finite(), points.log_density, -np.inf).reshape(len(others), -1)
    return [np.array([-here.potential, *row, -end.potential]) for row, end in zip(inner, others, strict=True)], points


def thinned(
    target: AbstractTarget, searches: tuple[_lbfgs.Search, ...]
) -> tuple[tuple[_lbfgs.Search, ...], Evaluations | None]:
    """`searches` without those on the way to the same place as the lowest, and the points spent.

    The lowest `MIN_KEPT` stay, and so do searches behind a dip, those that have hardly begun, and those still far
    above the lowest whose line to it is not concave: they may yet find a place that is better.
    """
    order = sorted(range(len(searches)), key=lambda i: searches[i].potential)
    best = searches[order[0]]
    doubtful = [i for i in order[MIN_KEPT:] if _is_near(searches[i], best) or searches[i].num_accepted >= MIN_ACCEPTED]
    if not doubtful:
        return searches, None
    lines, points = profiles(target, best, [searches[i] for i in doubtful])
    dropped = {
        i
        for i, heights in zip(doubtful, lines, strict=True)
        if not has_dip(heights, SHALLOW) and (_is_near(searches[i], best) or is_concave(heights))
    }
    return tuple(search for i, search in enumerate(searches) if i not in dropped), points


def _is_near(search: _lbfgs.Search, best: _lbfgs.Search) -> bool:
    return bool(search.potential - best.potential < 10.0 + len(search.x))


def grouped(
    target: AbstractTarget, ends: Sequence[_lbfgs.Search]
) -> tuple[list[list[_lbfgs.Search]], list[Evaluations]]:
    """`ends`, lowest potential first, in groups with no dip between a member and the group's first; and the points spent."""
    groups, spent, waiting = [], [], list(ends)
    while waiting and len(groups) < MAX_MODES:
        first, *others = waiting
        apart = []
        if others:
            lines, points = profiles(target, first, others)
            apart = [has_dip(heights) for heights in lines]
            spent.append(points)
        groups.append([first, *(search for search, dip in zip(others, apart, strict=True) if not dip)])
        waiting = [search for search, dip in zip(others, apart, strict=True) if dip]
    return groups, spent


def mode_at(found: Scored, has_curvature: bool) -> Mode:
    """The mode that `found` describes. Where its search knew no curvature, its residual says nothing of what the ELBO misses."""
    residual = found.residual if has_curvature else None
    return Mode(np.asarray(found.gaussian.mean), found.elbo, metric=found.gaussian.metric, residual=residual)


def with_shares(modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """`modes`, highest ELBO first, each with its share of the mass as far as the ELBOs tell."""
    if not modes:
        return ()
    elbos = np.array([mode.elbo.value for mode in modes])
    masses = np.exp(elbos - np.max(elbos))
    shares = masses / masses.sum()
    order = np.argsort(-elbos, kind="stable")
    return tuple(dataclasses.replace(modes[i], share=float(shares[i])) for i in order)
