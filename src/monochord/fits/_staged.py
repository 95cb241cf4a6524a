"""`Staged`: the default fit. Stopped L-BFGS, then score matching in a growing family, guarded by the ELBO.

0. *probe*: where the score is linear between the starts, dim + 1 points determine the Gaussian (*regression*), and if its
   own draws agree nothing else is needed. Dense family only.
1. *descent*: L-BFGS from several starts side by side, stopped when what is left to gain is within the
   spread of the posterior; the joint mode of a hierarchical model is no place to be.
   Starts on the way to the same place drop out early; those behind a dip of the density stay.
2. *candidates*: a Gaussian at the end of each start from L-BFGS's own inverse Hessian; the ELBO chooses.
   Ends behind a dip are reported as modes.
3. *diagonal*: only where that choice is poor (or the family is low rank), a diagonal score match, which
   moves to the typical set from anywhere: once from there, and once from small scales about the centre, since a
   descent may have ended where a scale parameter has gone to zero. The ELBO chooses.
4. *full*: the score match in the wanted family on a buffer of recent points. An update that loses ELBO
   beyond noise is taken back and the match is weakened. In a low-rank family Hessian products at the mean look for
   outliers that the scores of so few points cannot show, again as long as that pays (`enriched`).
5. *check*: the simplest structure of the metric within a tenth of the best predicted cost, where the family
   was left open; then fresh draws of the final Gaussian, from which every reported number comes.

Differs from batch and match as published: points of earlier batches are used again as long as the
current q finds them plausible (scores do not depend on q), the weight is raised instead of decayed, and
the ELBO guards each update.
"""

import dataclasses
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.fits._base import AbstractFit, FitStatus, Scored, StepInfo
from monochord.fits._krylov import enriched
from monochord.fits._laplace import laplace_like
from monochord.fits._linear import is_linear, points_around, points_between, regressed
from monochord.fits._modes import grouped, mode_at, thinned, with_shares
from monochord.fits._rules import (
    RUNAWAY,
    buffer_length,
    distinct_ends,
    has_come_to_rest,
    has_run_away,
    has_settled,
    is_refused,
    is_sane,
    merit,
    not_worse,
    num_pairs,
    typical,
)
from monochord.fits._score import antithetic_batch, scored
from monochord.fits._staged_state import (
    FIRST_STRENGTH,
    StagedState,
    after_diagonal,
    is_hopeless,
    is_looking,
    shrunk_diagonal,
    updated,
)
from monochord.fits._stages import charge, check, enter, finish, spend
from monochord.fits._starts import CANDIDATE_PAIRS, descend, described, opening
from monochord.fits._structure import choose_structure
from monochord.gaussian import Gaussian
from monochord.metrics import (
    AbstractFamily,
    Dense,
    Diagonal,
    DiagonalMetric,
    LowRank,
)
from monochord.targets import AbstractTarget, Evaluations, evaluate

DENSE_LIMIT = 250  # above it batches of useful size leave a full covariance too noisy
MAX_STRENGTH = 1e3
LOW_RANK_STEPS = 4  # of a low-rank match at least: the looks by Hessian products have done the most by then
MIN_STRENGTH = 1e-3  # after six updates in a row were taken back; a match this weak is its prior
CAUTIOUS_SCALE = 0.3  # unit scales reach where scores explode, and a match of those shrinks every scale to nothing
THINNING_STEPS = (10, 20, 40)  # of the descent
POOR_RESIDUAL = 2.0  # a candidate above it is further from the target than a unit Gaussian from a shifted one


def default_family(dim: int) -> AbstractFamily:
    """Dense where the batches can resolve it, else low rank."""
    return Dense() if dim <= DENSE_LIMIT else LowRank(rank=min(50, dim // 10))


@final
class Staged(AbstractFit):
    """The staged score-based fit on any family. `family=None` chooses by dimension.

    `num_starts` descents run side by side from uniform(−2, 2) about the target's centre (Stan's
    default for unconstrained starts). `tolerance` is the score residual at which the fit has converged. With a `start`
    (a fit of other data, say) it begins at stage 4.
    """

    family: AbstractFamily | None = None
    num_starts: int = eqx.field(static=True, default=8)
    tolerance: float = eqx.field(static=True, default=0.02)
    max_descent_steps: int = eqx.field(static=True, default=100)
    check_pairs: int = eqx.field(static=True, default=64)
    start: Gaussian | None = None

    def init(self, key: Key, target: AbstractTarget, initial=None) -> StagedState:
        """Evaluate starts: those given in `initial` (shape (n, dim)), or `num_starts` random ones.

        Where no random start is finite, three times as many are tried in ever smaller boxes.
        """
        rng = host_generator(key, 0)
        fields = opening(rng, target, self._family(target), "full", self.num_starts, initial, self.start)
        middle = target.center if initial is None else np.atleast_2d(np.asarray(initial, dtype=np.float64))[0]
        small = Gaussian(np.asarray(middle, np.float64), DiagonalMetric(np.full(target.dim, CAUTIOUS_SCALE)))
        if isinstance(self._family(target), Dense) and len(fields["searches"]) > 1:
            fields["stage"] = "probe"
        return StagedState(**fields, buffer=(), strength=FIRST_STRENGTH, unused=small)

    def step(self, key: Key, target: AbstractTarget, state: StagedState) -> tuple[StagedState, StepInfo]:
        rng, stage = host_generator(key), state.stage
        kind = type(self)  # bound methods are made anew at each mention, at 15 µs each
        advance = {
            "probe": kind._probe,
            "regression": kind._regress,
            "descent": kind._descend,
            "candidates": kind._choose,
            "diagonal": kind._match_step,
            "full": kind._match_step,
            "check": kind._check,
        }[stage]
        return described(stage, advance(self, rng, target, state))

    def _probe(self, rng, target, state: StagedState) -> StagedState:
        """Is the score linear between the starts?"""
        x, score = _starts(state)
        between, weights = points_between(rng, x)
        points = evaluate(target, between)
        state = spend(state, points)
        return enter(state, "regression" if is_linear(score, weights, points) else "descent")

    def _regress(self, rng, target, state: StagedState) -> StagedState:
        """The Gaussian with such scores; on to the descents unless its own draws say that it is close."""
        x, score = _starts(state)
        points = evaluate(target, points_around(rng, x))
        state, points = spend(state, points), points.take(points.finite())
        try:
            gaussian = regressed(np.concatenate([x, points.x]), np.concatenate([score, points.score]))
        except (np.linalg.LinAlgError, ValueError):
            return enter(state.mended(failed_factorisations=1), "descent")
        points = antithetic_batch(target, gaussian, rng, CANDIDATE_PAIRS)
        state, evidence = spend(state, points), scored(gaussian, points)
        if not np.all(points.finite()) or not evidence.residual.value < POOR_RESIDUAL:
            return enter(state.mended(rejected_updates=1), "descent")
        state = dataclasses.replace(state, current=gaussian, best=evidence, drawn_from=gaussian, buffer=(points,))
        return finish(state, FitStatus.converged) if self._is_close(evidence) else enter(state, "full")

    def _descend(self, rng, target, state: StagedState) -> StagedState:
        """One trial point of every search; at fixed steps, those on the way to the same place drop out."""
        if state.num_stage_steps in THINNING_STEPS:
            searches, points = thinned(target, state.searches)
            if points is not None:
                state = dataclasses.replace(spend(state, points), searches=searches)
        return descend(target, state, self.max_descent_steps)

    def _choose(self, rng, target, state: StagedState) -> StagedState:
        """Score a Gaussian at the end of each distinct descent and keep the one of highest ELBO."""
        family = self._family(target)
        if any(np.max(np.abs(search.x)) > RUNAWAY for search in state.searches):
            return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
        groups, spent = grouped(target, distinct_ends(state.searches, target.dim))
        for points in spent:
            state = spend(state, points)
        best, buffer, modes = None, (), []
        for group in groups:
            highest, has_curvature = None, False
            for search in group[: 2 if group is groups[0] else 1]:
                gaussian = laplace_like(family, search)
                points = antithetic_batch(target, gaussian, rng, CANDIDATE_PAIRS)
                state = spend(state, points)
                candidate = scored(gaussian, points)
                if highest is None or not candidate.elbo.value <= highest.elbo.value:
                    highest, has_curvature = candidate, bool(search.pairs)
                if best is None or not candidate.elbo.value <= best.elbo.value:
                    best, buffer = candidate, (points.take(points.finite()),)
            if highest is not None and np.isfinite(highest.elbo.value):
                modes.append(mode_at(highest, has_curvature))
        state = dataclasses.replace(state, modes=with_shares(modes) if len(modes) > 1 else ())
        assert best is not None  # a search always ends somewhere
        poor = not best.residual.value < POOR_RESIDUAL
        needs_diagonal = poor or isinstance(family, LowRank)
        if needs_diagonal and not isinstance(family, Diagonal):
            start = Gaussian(best.gaussian.mean, DiagonalMetric(np.sqrt(best.gaussian.metric.diagonal())))
            return dataclasses.replace(enter(state, "diagonal"), current=start, best=None, scores=())
        return dataclasses.replace(enter(state, "full"), current=best.gaussian, best=best, buffer=buffer, scores=())

    def _check(self, rng, target, state: StagedState) -> StagedState:
        """The shared closing check; where the family was left open, the structure of the metric is settled first."""
        if self.family is None and state.buffer and state.drawn_from is not None and not state.choices:
            drawn_from = state.drawn_from
            with np.errstate(over="ignore", invalid="ignore"):
                chosen, choices = choose_structure(target, state.gaussian, drawn_from, state.buffer[-1])
            if chosen.metric is not state.gaussian.metric:
                state = dataclasses.replace(state, best=None)
            state = dataclasses.replace(state, current=chosen, choices=choices)
        return check(rng, target, state, self.check_pairs)

    def _match_step(self, rng, target, state: StagedState) -> StagedState:
        """Draw from the current Gaussian, judge it, and match anew or go back."""
        diagonal = state.stage == "diagonal"
        drawn_from = state.gaussian
        family = Diagonal() if diagonal else self._family(target)
        first_look = isinstance(family, LowRank) and state.look is None  # takes nothing but the mean from its points
        pairs = CANDIDATE_PAIRS if diagonal or first_look else num_pairs(target.dim)
        points = antithetic_batch(target, state.gaussian, rng, pairs)
        state = spend(state, points)
        evidence = scored(state.gaussian, points)
        state, prior, usable = _judged(state, family, evidence, points)
        buffer = (*state.buffer[-(buffer_length(target.dim) - 1) :], points.take(usable))
        state = dataclasses.replace(
            state, buffer=buffer, drawn_from=drawn_from, num_stage_steps=state.num_stage_steps + 1
        )
        if isinstance(family, LowRank) and is_looking(state) and np.sum(usable) > 1:
            state, is_found = _look(rng, target, state, family, prior)
            if is_found and not has_run_away(state.gaussian):
                return state
        elif isinstance(family, LowRank) and prior is evidence.gaussian and self._is_close(evidence):
            state = dataclasses.replace(state, current=prior)  # a match of fewer points than dimensions only adds noise
        else:
            state = updated(state, family, prior)
        return self._decide(state, target)

    def _decide(self, state: StagedState, target) -> StagedState:
        """Go on, change stage, or finish, by the evidence of this stage."""
        if not state.scores:
            return state if state.num_stage_steps < 20 else finish(state, FitStatus.diverged)
        latest = state.scores[-1]
        if has_run_away(state.gaussian):
            return finish(state, FitStatus.diverged)
        if state.stage == "diagonal":
            settled = has_settled(state.scores, window=2) or state.num_stage_steps >= 20
            return after_diagonal(state) if settled or is_hopeless(state) else state
        if self._is_close(latest):
            return finish(state, FitStatus.converged)
        if state.strength < MIN_STRENGTH or is_refused(state.scores):
            return finish(state, FitStatus.settled)
        if isinstance(self._family(target), LowRank):
            # two windows more where one coordinate would have the fit refused: its scale needs the points of more steps
            enough = state.best is not None and (merit(state.best)[0] or state.num_stage_steps >= LOW_RANK_STEPS * 2)
            if enough and state.num_stage_steps >= LOW_RANK_STEPS and has_come_to_rest(state.scores, window=2):
                assert state.best is not None
                return finish(dataclasses.replace(state, current=state.best.gaussian), FitStatus.settled)
            return state
        at_rest = has_settled if isinstance(self._family(target), Diagonal) else has_come_to_rest
        if state.num_stage_steps >= 8 and at_rest(state.scores, window=4):
            return finish(state, FitStatus.settled)
        return state

    def _is_close(self, evidence: Scored) -> bool:
        return evidence.residual.value + evidence.residual.standard_error < self.tolerance

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)


def _starts(state: StagedState) -> tuple[np.ndarray, np.ndarray]:
    """Where the searches are, and the scores there."""
    return np.stack([search.x for search in state.searches]), -np.stack([search.gradient for search in state.searches])


def _judged(
    state: StagedState, family: AbstractFamily, evidence: Scored, points: Evaluations
) -> tuple[StagedState, Gaussian, np.ndarray]:
    """`(state, prior of the next match, mask of usable points)`: `evidence` accepted, or the best Gaussian again."""
    finite, best = points.finite(), state.best
    worth = merit if isinstance(family, LowRank) else _elbo
    if float(np.mean(finite)) > 0.5 and not_worse(evidence, best):
        best = evidence if best is None or worth(evidence) > worth(best) else best
        strength = min(MAX_STRENGTH, 4.0 * state.strength)
        state = dataclasses.replace(state, best=best, strength=strength, scores=(*state.scores[-15:], evidence))
        return state, state.gaussian, finite
    state = dataclasses.replace(state.mended(rejected_updates=1), strength=state.strength / 8.0)
    if best is None:
        return state, shrunk_diagonal(state.gaussian), finite
    if isinstance(family, LowRank):  # back where it was: a step that gained nothing
        state = dataclasses.replace(state, scores=(*state.scores[-15:], best))
    return state, best.gaussian, finite & is_sane(points, best)


def _elbo(evidence: Scored) -> tuple[bool, float]:
    return True, evidence.elbo.value


def _look(rng, target, state: StagedState, family: LowRank, prior: Gaussian) -> tuple[StagedState, bool]:
    """Outliers by Hessian products, else a match. Found, points far out along them are dropped: no match is that exact."""
    with np.errstate(over="ignore", invalid="ignore"):
        gaussian, found, batches = enriched(rng, target, prior, state.buffer[-1], family.rank)
    state = dataclasses.replace(charge(state, batches), look=(found, state.best))
    if gaussian is None:
        state = state.mended(failed_factorisations=1)
    if gaussian is None or not found:
        return updated(state, family, prior), False
    kept = tuple(typical(gaussian, points) for points in state.buffer)
    dropped = sum(len(points.x) for points in state.buffer) - sum(len(points.x) for points in kept)
    kept = tuple(points for points in kept if len(points.x))
    return dataclasses.replace(state.mended(dropped_points=dropped), current=gaussian, buffer=kept), True
