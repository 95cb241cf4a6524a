"""`BatchMatch`: batch and match as published, and its low-rank form "patch".

Cai, Modi, Pillaud-Vivien, Margossian, Gower, Blei & Saul (2024, arXiv 2402.14758), algorithm 1: every
step draws a fresh batch from the current q and matches its scores with the weight λ_t = B·dim/(t + 1).
Low rank: Modi, Cai & Saul (2025, AISTATS, arXiv 2410.22292), which projects each update onto ΛΛᵀ + Ψ.
"""

import dataclasses
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.estimate import Estimate, mean_estimate
from monochord.fits._base import AbstractFit, FitStatus, Scored, StepInfo
from monochord.fits._match import match
from monochord.fits._rules import has_run_away, has_settled
from monochord.fits._score import elbo_terms, residual_terms
from monochord.fits._staged import default_family
from monochord.fits._stages import check, finish, spend
from monochord.fits._starts import StartedState, described, in_family, opening, shrunk
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, LowRank, LowRankMetric, identity_metric
from monochord.targets import AbstractTarget, Evaluations, evaluate

WINDOW = 10  # steps averaged before the fit counts as settled: one batch alone is noisy
MIN_BATCH = 32  # the batch of the paper's posteriordb experiments; below it an ELBO says little
NUM_STARTS = 4  # Stan's number of chains, one of which the fit begins at
MIN_FINITE = 0.25  # of a batch: a match of fewer points knows too little of where the density is zero
MAX_ATTEMPTS = 8  # of one update, each with an eighth of the weight: 8⁻⁷ outweighs scales wrong by 10³
MAX_EM_STEPS = 20  # of one projection; the authors' code takes 10, and each projection continues the last
EM_TOLERANCE = 1e-5  # largest relative change of a Ψ_i or of ΛΛᵀ's diagonal that ends the EM steps
MIN_UNIQUE_SHARE = 1e-6  # of a variance that stays in Ψ (Heywood cases); the authors' code floors Ψ at 1e-6


@dataclasses.dataclass(frozen=True)
class BatchMatchState(StartedState):
    """Everything a step needs; `num_stage_steps` is the paper's t, `scores` the last 20 iterates' evidence."""


@final
class BatchMatch(AbstractFit):
    """Batch and match on `Diagonal`, `Dense` or `LowRank`; `family=None` chooses by dimension.

    `batch_size` independent draws a step (None: dim + 1, at which a Gaussian is matched exactly, at least
    32; for structured families 32). `weight` fixes λ; None is the published decay B·dim/(t + 1). `start` is
    the first Gaussian; None is N(start, I) at a random point, as published.
    `tolerance` is the score residual at which the fit has converged.

    Differs from the paper: it stops by its own score residual and ELBO; an update that rounding leaves without
    a positive definite answer is tried with smaller weights, then left out; so are draws without a finite
    score, and where most have none the scales are halved; the EM steps of "patch" begin with the principal directions instead of
    random ones as long as the last Gaussian has fewer directions than `rank`. The ELBO guards no update,
    but if the last Gaussian is worse than the best one beyond noise, the closing check returns the best.
    """

    family: AbstractFamily | None = None
    batch_size: int | None = eqx.field(static=True, default=None)
    weight: float | None = eqx.field(static=True, default=None)
    start: Gaussian | None = None
    tolerance: float = eqx.field(static=True, default=0.02)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> BatchMatchState:
        """N(start, I) at the start of highest density: of `initial` (shape (n, dim)), or of random ones."""
        family = self._family(target)
        fields = opening(host_generator(key, 0), target, family, "match", NUM_STARTS, initial, self.start)
        if fields["searches"]:
            best = min(fields["searches"], key=lambda search: search.potential)
            fields["current"] = Gaussian(best.x, in_family(family, identity_metric(target.dim)))
        return BatchMatchState(**{**fields, "stage": "match", "searches": ()})

    def step(self, key: Key, target: AbstractTarget, state: BatchMatchState) -> tuple[BatchMatchState, StepInfo]:
        rng, stage = host_generator(key), state.stage
        state = check(rng, target, state) if stage == "check" else self._match_step(rng, target, state)
        return described(stage, state)

    def _match_step(self, rng, target, state: BatchMatchState) -> BatchMatchState:
        """Judge the current Gaussian by fresh draws, then match their scores."""
        points = evaluate(target, state.gaussian.sample(rng, self._batch_size(target)))
        state = _judged(spend(state, points), points)
        family, points = self._family(target), points.take(points.finite())
        weight = self.weight
        if weight is None:
            weight = self._batch_size(target) * target.dim / (state.num_stage_steps + 1)
        state = dataclasses.replace(state, num_stage_steps=state.num_stage_steps + 1)
        return self._decide(_updated(state, family, points, self._batch_size(target), weight))

    def _decide(self, state: BatchMatchState) -> BatchMatchState:
        """Go on or finish. Two batches must agree that the residual is small: one of few draws may err."""
        if has_run_away(state.gaussian):
            return finish(state, FitStatus.diverged)
        if not state.scores:
            return state if state.num_stage_steps < 2 * WINDOW else finish(state, FitStatus.diverged)
        if len(state.scores) >= 2 and all(
            s.residual.value + s.residual.standard_error < self.tolerance for s in state.scores[-2:]
        ):
            return finish(state, FitStatus.converged)
        if has_settled(state.scores, window=WINDOW):
            return finish(state, FitStatus.settled)
        return state

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)

    def _batch_size(self, target) -> int:
        if self.batch_size is not None:
            return self.batch_size
        return max(MIN_BATCH, target.dim + 1) if isinstance(self._family(target), Dense) else MIN_BATCH


def _judged(state: BatchMatchState, points: Evaluations) -> BatchMatchState:
    """`state` with the evidence of draws of its Gaussian; `best` is that of the highest lower bound.

    The value less its standard error ranks iterates, as the largest of many noisy ELBOs is luck.
    """
    finite = points.finite()
    if np.mean(finite) <= 0.5:
        return state
    terms = elbo_terms(state.gaussian, points)[finite], residual_terms(state.gaussian, points)[finite]
    evidence = Scored(state.gaussian, *(_finite_mean(values) for values in terms))
    if not np.isfinite(evidence.elbo.value):
        return state
    better = state.best is None or _lower(evidence.elbo) >= _lower(state.best.elbo)
    return dataclasses.replace(
        state, scores=(*state.scores[-(2 * WINDOW - 1) :], evidence), best=evidence if better else state.best
    )


def _finite_mean(values) -> Estimate:
    return mean_estimate(values[np.isfinite(values)])


def _lower(estimate: Estimate) -> float:
    return estimate.value - estimate.standard_error if np.isfinite(estimate.standard_error) else -np.inf


def _updated(state: BatchMatchState, family, points: Evaluations, num_draws: int, weight: float) -> BatchMatchState:
    """`state` after the match of those of `num_draws` points that are finite.

    Too few of them: back to the best Gaussian, or half of its scales. Where rounding defeats the match, ever
    smaller weights are tried on the same points.
    """
    if len(points.x) < max(2, MIN_FINITE * num_draws):
        best = state.best.gaussian if state.best is not None else state.gaussian
        current = best if best is not state.gaussian else shrunk(best, 0.5)
        return dataclasses.replace(state, current=current, repairs=state.repairs.add(rejected_updates=1))
    matching = patch if isinstance(family, LowRank) else match
    for attempt in range(MAX_ATTEMPTS):
        try:
            with np.errstate(all="ignore"):
                current = matching(family, state.gaussian, points, weight / 8.0**attempt)
        except (np.linalg.LinAlgError, ValueError):
            state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=1))
            continue
        if np.all(np.isfinite(current.mean)) and np.all(np.isfinite(current.metric.diagonal())):
            return dataclasses.replace(state, current=current)
    return dataclasses.replace(state, repairs=state.repairs.add(rejected_updates=1))


def patch(family: LowRank, prior: Gaussian, points: Evaluations, weight: float) -> Gaussian:
    """The dense match of a low-rank prior, projected onto ΛΛᵀ + Ψ by EM; O(dim · (rank + B)) memory.

    With V = Ψ₀ + RRᵀ = FFᵀ and U = QQᵀ, R and Q of about rank + B and B columns, the match is

        Σ = V − VQ M⁻² QᵀV = F(I − A(I − m⁻¹)Aᵀ)Fᵀ,   M = ½I + (QᵀVQ + ¼I)^½,   m = ½ + (a² + ¼)^½

    (Modi, Cai & Saul 2025, section 3.2; the second form, with the SVD FᵀQ = A diag(a) Bᵀ, keeps half of the
    digits that the first loses), and EM for factor analysis minimises KL(N(0, Σ) ‖ N(0, ΛΛᵀ + Ψ)).
    The multiplicative form of the answer is exact: S² = Ψ and S⁻¹Λ = U diag(s) Wᵀ give eigenvalues 1 + s².
    `points` (n, dim) are draws of `prior`. Keeps slow directions only: fast ones cannot be expressed by ΛΛᵀ.

    **Raises** `numpy.linalg.LinAlgError` when rounding leaves no positive variance.
    """
    metric, count, share = in_family(family, prior.metric), len(points.x), weight / (1.0 + weight)
    assert isinstance(metric, LowRankMetric)
    unique = np.asarray(metric.scale) ** 2
    loadings = metric.scale[:, None] * metric.basis * np.sqrt(np.maximum(metric.eigenvalues - 1.0, 0.0))
    x_mean, score_mean = points.x.mean(0), points.score.mean(0)
    x_rows = np.sqrt(weight / count) * (points.x - x_mean)
    score_rows = np.sqrt(weight / count) * (points.score - score_mean)
    wide = np.column_stack([loadings, x_rows.T, np.sqrt(share) * (prior.mean - x_mean)])
    q = np.column_stack([score_rows.T, np.sqrt(share) * score_mean])
    left, singular, _ = np.linalg.svd(np.concatenate([np.sqrt(unique)[:, None] * q, wide.T @ q]), full_matrices=False)
    left = left * np.sqrt(1.0 - 1.0 / (0.5 + np.sqrt(0.25 + singular**2)))
    removed = np.sqrt(unique)[:, None] * left[: len(unique)] + wide @ left[len(unique) :]
    update = _Parts(unique, wide, removed)
    mean = (prior.mean + weight * (update.times(score_mean[:, None])[:, 0] + x_mean)) / (1.0 + weight)
    return Gaussian(mean, _projected(update, family.rank, loadings))


@dataclasses.dataclass(frozen=True)
class _Parts:
    """Σ = diag(unique) + plus·plusᵀ − minus·minusᵀ."""

    unique: np.ndarray
    plus: np.ndarray
    minus: np.ndarray

    def times(self, v) -> np.ndarray:
        """Σv for columns `v`."""
        return self.unique[:, None] * v + self.plus @ (self.plus.T @ v) - self.minus @ (self.minus.T @ v)

    def diagonal(self) -> np.ndarray:
        """Variances Σ_ii."""
        return self.unique + np.sum(self.plus**2, axis=1) - np.sum(self.minus**2, axis=1)


def _projected(update: _Parts, rank: int, loadings) -> LowRankMetric:
    """EM for factor analysis with the covariance Σ in place of data (Rubin & Thayer 1982, Psychometrika 47)."""
    variance = update.diagonal()
    if not np.all(np.isfinite(variance) & (variance > 0)):
        raise np.linalg.LinAlgError("the low-rank score match left no positive variance")
    scale, rank = np.sqrt(variance), min(rank, len(variance))
    scaled = _Parts(update.unique / variance, update.plus / scale[:, None], update.minus / scale[:, None])
    if loadings.shape[1] == rank and np.all(np.any(loadings != 0.0, axis=0)):  # EM never leaves a zero column
        loadings, unique = loadings / scale[:, None], np.maximum(scaled.unique, MIN_UNIQUE_SHARE)
    else:
        loadings = _principal(scaled, rank)
        unique = np.maximum(1.0 - np.sum(loadings**2, axis=1), 0.05)
    for _ in range(MAX_EM_STEPS):
        weighted = loadings / unique[:, None]
        core = np.linalg.inv(np.eye(rank) + loadings.T @ weighted)
        regression = weighted @ core
        moved = scaled.times(regression)
        loadings = np.linalg.solve(core + regression.T @ moved, moved.T).T
        last, unique = unique, np.maximum(1.0 - np.sum(loadings * moved, axis=1), MIN_UNIQUE_SHARE)
        if np.max(np.abs(unique / last - 1.0)) < EM_TOLERANCE:
            break
    root = np.sqrt(unique)
    basis, singular, _ = np.linalg.svd(loadings / root[:, None], full_matrices=False)
    return LowRankMetric(scale * root, basis, 1.0 + singular**2)


def _principal(scaled: _Parts, rank: int) -> np.ndarray:
    """First loadings: the largest eigenvectors of a correlation matrix within the span of its positive part."""
    basis = np.linalg.qr(scaled.plus)[0]
    values, vectors = np.linalg.eigh(basis.T @ scaled.times(basis))
    keep = np.argsort(-values)[:rank]
    loadings = np.zeros((len(basis), rank))
    loadings[:, : len(keep)] = basis @ (vectors[:, keep] * np.sqrt(np.maximum(values[keep], 0.0)))
    return loadings
