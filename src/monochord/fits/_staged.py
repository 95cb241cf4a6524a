"""`Staged`: the default fit. Stopped L-BFGS, then score matching in a growing family, guarded by the ELBO.

1. *descent*: L-BFGS from several starts side by side, stopped when what is left to gain is within the
   spread of the posterior; the joint mode of a hierarchical model is no place to be.
2. *candidates*: a Gaussian at the end of each start from L-BFGS's own inverse Hessian; the ELBO chooses.
3. *diagonal*: only where that choice is poor (or the family is low rank), a diagonal score match, which
   moves to the typical set from anywhere.
4. *full*: the score match in the wanted family on a buffer of recent points. An update that loses ELBO
   beyond noise is taken back and the match is weakened.
5. *check*: fresh draws of the final Gaussian, from which every reported number comes.

Differs from batch and match as published: points of earlier batches are used again as long as the
current q finds them plausible (scores do not depend on q), the weight is raised instead of decayed, and
the ELBO guards each update.
"""

import dataclasses
from functools import partial
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.cost import Cost
from monochord.fits import _lbfgs
from monochord.fits._base import AbstractFit, AbstractFitState, FitStatus, Repairs, Scored, StepInfo
from monochord.fits._laplace import laplace_like
from monochord.fits._match import match
from monochord.fits._rules import (
    RUNAWAY,
    buffer_length,
    distinct_ends,
    has_run_away,
    has_settled,
    is_active,
    not_worse,
    num_pairs,
    plausible,
)
from monochord.fits._score import antithetic_batch, scored
from monochord.fits._shift import is_shifted, newton_shift
from monochord.fits._stages import check, enter, finish, spend
from monochord.gaussian import Gaussian
from monochord.metrics import (
    AbstractFamily,
    Dense,
    Diagonal,
    DiagonalMetric,
    LowRank,
)
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

DENSE_LIMIT = 250  # above it batches of useful size leave a full covariance too noisy
MAX_STRENGTH = 1e3
FIRST_STRENGTH = 1e2
POOR_RESIDUAL = 2.0  # a candidate above it is further from the target than a unit Gaussian from a shifted one


@dataclasses.dataclass(frozen=True)
class StagedState(AbstractFitState):
    """Everything a step needs; `stage` names what the next step does."""

    searches: tuple[_lbfgs.Search, ...]
    scores: tuple[Scored, ...]  # accepted evidence of this stage, oldest first, the last eight
    buffer: tuple[Evaluations, ...]
    strength: float


def default_family(dim: int) -> AbstractFamily:
    """Dense where the batches can resolve it, else low rank."""
    return Dense() if dim <= DENSE_LIMIT else LowRank(rank=min(50, dim // 10))


@final
class Staged(AbstractFit):
    """The staged score-based fit on any family. `family=None` chooses by dimension.

    `num_starts` descents run side by side from uniform(−2, 2) about the target's centre (Stan's
    default for unconstrained starts). `tolerance` is the score residual at which the fit has converged.
    """

    family: AbstractFamily | None = None
    num_starts: int = eqx.field(static=True, default=4)
    tolerance: float = eqx.field(static=True, default=0.02)
    max_descent_steps: int = eqx.field(static=True, default=100)
    check_pairs: int = eqx.field(static=True, default=64)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> StagedState:
        """Evaluate starts: those given in `initial` (shape (n, dim)), or `num_starts` random ones.

        Where no random start is finite, three times as many are tried in ever smaller boxes.
        """
        rng = host_generator(key, 0)
        cost, searches, nonfinite = Cost(), (), 0
        for width in (2.0, 1.0, 0.1):
            if initial is not None:
                x = np.atleast_2d(np.asarray(initial, dtype=np.float64))
            else:
                count = self.num_starts if width == 2.0 else 3 * self.num_starts
                x = np.asarray(target.center) + rng.uniform(-width, width, (count, target.dim))
            points = evaluate(target, x)
            cost += Cost(len(x), idle_lanes(len(x)))
            finite = points.finite()
            nonfinite += int(np.sum(~finite))
            searches = tuple(
                _lbfgs.begin(x, -value, -score) for x, value, score in zip(*points.take(finite), strict=True)
            )[: self.num_starts]
            if searches or initial is not None:
                break
        status = FitStatus.running if searches else FitStatus.no_finite_start
        return StagedState(
            stage="descent",
            num_steps=0,
            status=status,
            cost=cost,
            repairs=Repairs(nonfinite_points=nonfinite),
            current=None,
            best=None,
            check=None,
            num_stage_steps=0,
            searches=searches,
            scores=(),
            buffer=(),
            strength=FIRST_STRENGTH,
        )

    def step(self, key: Key, target: AbstractTarget, state: StagedState) -> tuple[StagedState, StepInfo]:
        rng = host_generator(key)
        advance = {
            "descent": self._descend,
            "candidates": self._choose,
            "diagonal": self._match_step,
            "full": self._match_step,
            "check": partial(check, num_pairs=self.check_pairs),
        }[state.stage]
        stage = state.stage
        state = advance(rng, target, state)
        state = dataclasses.replace(state, num_steps=state.num_steps + 1)
        evidence = state.scores[-1] if state.scores and stage != "check" else state.best
        return state, StepInfo(
            stage,
            state.num_steps,
            state.cost.gradients,
            evidence.elbo if evidence else None,
            evidence.residual if evidence else None,
            -min(search.potential for search in state.searches) if stage == "descent" else None,
        )

    def _descend(self, rng, target, state: StagedState) -> StagedState:
        """One trial point of every active search."""
        running = [is_active(search, target.dim) for search in state.searches]
        if not any(running) or state.num_stage_steps >= self.max_descent_steps:
            return enter(state, "candidates")
        points = evaluate(target, np.stack([s.trial for s, on in zip(state.searches, running, strict=True) if on]))
        answers = iter(zip(-points.log_density, -points.score, strict=True))
        searches = tuple(
            _lbfgs.advance(search, *next(answers)) if on else search
            for search, on in zip(state.searches, running, strict=True)
        )
        return dataclasses.replace(spend(state, points), searches=searches, num_stage_steps=state.num_stage_steps + 1)

    def _choose(self, rng, target, state: StagedState) -> StagedState:
        """Score a Gaussian at the end of each distinct descent and keep the one of highest ELBO."""
        family = self._family(target)
        best, buffer = None, ()
        if any(np.max(np.abs(search.x)) > RUNAWAY for search in state.searches):
            return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
        for search in distinct_ends(state.searches, target.dim):
            gaussian = laplace_like(family, search)
            points = antithetic_batch(target, gaussian, rng, 8)
            state = spend(state, points)
            candidate = scored(gaussian, points)
            if best is None or not candidate.elbo.value <= best.elbo.value:
                best, buffer = candidate, (points.take(points.finite()),)
        assert best is not None  # a search always ends somewhere
        poor = not best.residual.value < POOR_RESIDUAL
        needs_diagonal = poor or isinstance(family, LowRank)
        if needs_diagonal and not isinstance(family, Diagonal):
            start = Gaussian(best.gaussian.mean, DiagonalMetric(np.sqrt(best.gaussian.metric.diagonal())))
            return dataclasses.replace(enter(state, "diagonal"), current=start, best=None, scores=())
        return dataclasses.replace(enter(state, "full"), current=best.gaussian, best=best, buffer=buffer, scores=())

    def _match_step(self, rng, target, state: StagedState) -> StagedState:
        """Draw from the current Gaussian, judge it, and match anew or go back."""
        diagonal = state.stage == "diagonal"
        points = antithetic_batch(target, state.gaussian, rng, 8 if diagonal else num_pairs(target.dim))
        state = spend(state, points)
        evidence = scored(state.gaussian, points)
        finite = points.finite()
        share = float(np.mean(finite))
        if share > 0.5 and not_worse(evidence, state.best):
            best = evidence if state.best is None or evidence.elbo.value > state.best.elbo.value else state.best
            strength = min(MAX_STRENGTH, 4.0 * state.strength)
            state = dataclasses.replace(state, best=best, strength=strength, scores=(*state.scores[-7:], evidence))
            prior = state.gaussian
        else:
            prior = state.best.gaussian if state.best is not None else _shrunk(state.gaussian)
            state = dataclasses.replace(
                state, strength=state.strength / 8.0, repairs=state.repairs.add(rejected_updates=1)
            )
        buffer = (*state.buffer[-(buffer_length(target.dim) - 1) :], points.take(finite))
        state = dataclasses.replace(state, buffer=buffer, num_stage_steps=state.num_stage_steps + 1)
        family = Diagonal() if diagonal else self._family(target)
        state = _update(state, family, prior)
        return self._decide(state, target)

    def _decide(self, state: StagedState, target) -> StagedState:
        """Go on, change stage, or finish, by the evidence of this stage."""
        if not state.scores:
            return state if state.num_stage_steps < 20 else finish(state, FitStatus.diverged)
        latest = state.scores[-1]
        if has_run_away(state.gaussian):
            return finish(state, FitStatus.diverged)
        if state.stage == "diagonal":
            if has_settled(state.scores, window=2) or state.num_stage_steps >= 20:
                return dataclasses.replace(enter(state, "full"), scores=(), best=latest, strength=FIRST_STRENGTH)
            return state
        if latest.residual.value + latest.residual.standard_error < self.tolerance:
            return finish(state, FitStatus.converged)
        if state.num_stage_steps >= 8 and has_settled(state.scores, window=4):
            return finish(state, FitStatus.settled)
        return state

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)


def _shrunk(gaussian: Gaussian) -> Gaussian:
    """The same mean with a tenth of the scales: closer to where the density was finite."""
    return Gaussian(gaussian.mean, DiagonalMetric(0.1 * np.sqrt(gaussian.metric.diagonal())))


def _update(state: StagedState, family: AbstractFamily, prior: Gaussian) -> StagedState:
    """Match on the buffer's plausible points; a failed factorisation keeps the prior and weakens the match."""
    points, dropped = plausible(prior, state.buffer)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if is_shifted(prior, state.buffer[-1]):
                prior = newton_shift(family, prior, points, state.strength)
            current = match(family, prior, points, state.strength)
    except (np.linalg.LinAlgError, ValueError):
        repairs = state.repairs.add(failed_factorisations=1)
        return dataclasses.replace(state, current=prior, strength=state.strength / 8.0, repairs=repairs)
    return dataclasses.replace(state, current=current, repairs=state.repairs.add(dropped_points=dropped))
