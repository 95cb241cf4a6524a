"""From nothing to a first Gaussian: finite random starts, descents side by side, and the best of their ends.

Every algorithm that improves a Gaussian begins here, or at one that it is given. The stages are
"descent", one trial point of every search a step, and "candidates", which hands over to the algorithm.
Here too are the moment-matched draws that the deterministic and the natural-gradient fit share.
"""

import dataclasses
import math
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from monochord.cost import Cost
from monochord.fits import _lbfgs
from monochord.fits._base import AbstractFitState, FitStatus, Repairs, Scored, StepInfo
from monochord.fits._laplace import laplace_like
from monochord.fits._rules import RUNAWAY, distinct_ends, is_active
from monochord.fits._score import antithetic_batch, scored
from monochord.fits._stages import enter, spend
from monochord.gaussian import Gaussian
from monochord.metrics import (
    AbstractFamily,
    AbstractMetric,
    Dense,
    DenseMetric,
    Diagonal,
    DiagonalMetric,
    LowRank,
    LowRankMetric,
)
from monochord.targets import AbstractTarget, evaluate, idle_lanes

CANDIDATE_PAIRS = 8  # as in `Staged`: enough to rank ends that differ by nats
MAX_CANDIDATES = 4
MAX_SHRINKS = 4  # of a candidate whose draws leave the support, each by a factor of four


@dataclasses.dataclass(frozen=True)
class StartedState(AbstractFitState):
    """A state that begins with searches; `scores` are the latest evidence of the algorithm's own stage."""

    searches: tuple[_lbfgs.Search, ...]
    scores: tuple[Scored, ...]


State = TypeVar("State", bound=StartedState)


def finite_starts(rng: np.random.Generator, target: AbstractTarget, num_starts: int, initial=None):
    """`(searches, cost, number of points that were not finite)` from `initial`, shape (n, dim), or random points.

    Random ones are uniform(−2, 2) about the target's centre (Stan's default for unconstrained starts).
    Where none is finite, three times as many are tried in ever smaller boxes.
    """
    cost, nonfinite = Cost(), 0
    for width in (2.0, 1.0, 0.1):
        if initial is not None:
            x = np.atleast_2d(np.asarray(initial, dtype=np.float64))
        else:
            count = num_starts if width == 2.0 else 3 * num_starts
            x = np.asarray(target.center) + rng.uniform(-width, width, (count, target.dim))
        points = evaluate(target, x)
        cost += Cost(len(x), idle_lanes(len(x)))
        finite = points.finite()
        nonfinite += int(np.sum(~finite))
        searches = tuple(_lbfgs.begin(x, -value, -score) for x, value, score in zip(*points.take(finite), strict=True))
        if searches or initial is not None:
            return searches[:num_starts], cost, nonfinite
    return (), cost, nonfinite


def opening(rng, target: AbstractTarget, family: AbstractFamily, stage: str, num_starts, initial, start) -> dict:
    """The fields of `StartedState` before the first step: at `start` in `stage`, else at the descents.

    `initial` (shape (n, dim)) replaces the random starts and, where both are given, the mean of `start`.
    """
    fields: dict[str, Any] = {
        "num_steps": 0, "num_stage_steps": 0, "best": None, "check": None, "scores": (), "searches": (),
        "status": FitStatus.running, "cost": Cost(), "repairs": Repairs(), "stage": stage, "current": None,
    }  # fmt: skip
    if start is not None:
        mean = np.asarray(start.mean, dtype=np.float64)
        mean = mean if initial is None else np.atleast_2d(np.asarray(initial, dtype=np.float64))[0]
        return fields | {"current": Gaussian(mean, in_family(family, start.metric))}
    searches, cost, nonfinite = finite_starts(rng, target, num_starts, initial)
    status = FitStatus.running if searches else FitStatus.no_finite_start
    repairs = Repairs(nonfinite_points=nonfinite)
    return fields | {
        "stage": "descent", "searches": searches, "cost": cost, "status": status, "repairs": repairs
    }  # fmt: skip


def descend(target: AbstractTarget, state: State, max_steps: int) -> State:
    """One trial point of every active search."""
    running = [is_active(search, target.dim) for search in state.searches]
    if not any(running) or state.num_stage_steps >= max_steps:
        return enter(state, "candidates")
    points = evaluate(target, np.stack([s.trial for s, on in zip(state.searches, running, strict=True) if on]))
    answers = iter(zip(-points.log_density, -points.score, strict=True))
    searches = tuple(
        _lbfgs.advance(search, *next(answers)) if on else search
        for search, on in zip(state.searches, running, strict=True)
    )
    return dataclasses.replace(spend(state, points), searches=searches, num_stage_steps=state.num_stage_steps + 1)


def choose(rng, target: AbstractTarget, family: AbstractFamily, state: State, stage: str) -> State:
    """`state` at `stage` with the best Gaussian at the searches' ends; unit scales where none has descended."""
    if any(np.max(np.abs(search.x)) > RUNAWAY for search in state.searches):
        return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
    best = None
    for search in distinct_ends(state.searches, target.dim)[:MAX_CANDIDATES]:
        if search.num_accepted:
            gaussian = laplace_like(family, search)
        else:
            gaussian = Gaussian(search.x, DiagonalMetric(np.ones(target.dim)))
        for _ in range(MAX_SHRINKS):
            points = antithetic_batch(target, gaussian, rng, CANDIDATE_PAIRS)
            state = spend(state, points)
            if np.mean(points.finite()) > 0.5:
                break
            gaussian = shrunk(gaussian, 0.25)
            state = dataclasses.replace(state, repairs=state.repairs.add(rejected_updates=1))
        candidate = scored(gaussian, points)
        if best is None or not candidate.elbo.value <= best.elbo.value:
            best = candidate
    assert best is not None  # a search always ends somewhere
    current = Gaussian(best.gaussian.mean, in_family(family, best.gaussian.metric))
    return dataclasses.replace(enter(state, stage), current=current, best=None, scores=())


def matched_draws(rng: np.random.Generator, num_pairs: int, dim: int) -> Float[np.ndarray, "draws dim"]:
    """2 · `num_pairs` antithetic draws, first half plus, second half minus, with mean 0 and second moment I.

    Normals z → √n z (zᵀz)^{-½}; with n = dim pairs they are ±√dim times a random rotation. With fewer pairs than
    dimensions only the second moment of each coordinate can be matched.
    """
    z = rng.standard_normal((num_pairs, dim))
    if num_pairs >= dim:
        left, _, right = np.linalg.svd(z, full_matrices=False)
        z = math.sqrt(num_pairs) * left @ right
    else:
        z /= np.sqrt(np.mean(z**2, axis=0))
    return np.concatenate([z, -z])


def in_family(family: AbstractFamily, metric: AbstractMetric) -> AbstractMetric:
    """`metric` in `family`: itself, its marginal scales, or the directions that stand out of them most."""
    scale = np.sqrt(np.asarray(metric.diagonal(), dtype=np.float64))
    if isinstance(family, Diagonal):
        return DiagonalMetric(scale)
    if isinstance(family, Dense):
        return metric if isinstance(metric, DenseMetric) else DenseMetric.from_covariance(np.asarray(metric.dense()))
    if isinstance(family, LowRank):
        if isinstance(metric, LowRankMetric) and metric.rank <= family.rank:
            return metric
        if isinstance(metric, DiagonalMetric):
            return LowRankMetric(scale, np.zeros((len(scale), 0)), np.ones(0))
        eigenvalues, vectors = np.linalg.eigh(np.asarray(metric.dense()) / np.outer(scale, scale))
        keep = np.argsort(-np.abs(np.log(eigenvalues)))[: family.rank]
        return LowRankMetric(scale, vectors[:, keep], eigenvalues[keep])
    raise TypeError(
        f"no start is known in the family {type(family).__name__}. This algorithm works on `Diagonal`, `Dense` and "
        "`LowRank`. Pass one of them, or use `Staged` with a `match` registered for your family."
    )


def shrunk(gaussian: Gaussian, factor: float) -> Gaussian:
    """The same mean and shape with all scales times `factor`."""
    metric = gaussian.metric
    if isinstance(metric, DenseMetric):
        return Gaussian(gaussian.mean, DenseMetric(metric.factor * factor, metric.inverse_factor / factor))
    if isinstance(metric, LowRankMetric):
        return Gaussian(gaussian.mean, LowRankMetric(metric.scale * factor, metric.basis, metric.eigenvalues))
    return Gaussian(gaussian.mean, DiagonalMetric(np.sqrt(metric.diagonal()) * factor))


def described(stage: str, state: State) -> tuple[State, StepInfo]:
    """`state` after one more step, made in `stage`, with what the driver shows of it."""
    state = dataclasses.replace(state, num_steps=state.num_steps + 1)
    evidence = state.scores[-1] if state.scores and stage != "check" else state.best
    return state, StepInfo(
        stage,
        state.num_steps,
        state.cost.gradients,
        evidence.elbo if evidence else None,
        evidence.residual if evidence else None,
        float(-min(search.potential for search in state.searches)) if stage == "descent" else None,
    )
