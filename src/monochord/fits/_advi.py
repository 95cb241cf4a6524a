"""`Advi`: stochastic gradient ascent on the ELBO in any family.

Automatic differentiation variational inference (Kucukelbir, Tran, Ranganath, Gelman, Blei 2017) with the path derivative of
Roeder, Wu & Duvenaud (2017, arXiv 1703.09194, "sticking the landing"): for a draw x = μ + Lz

    ∇ = (score_p(x) − score_q(x)) ∂x/∂(μ, L),

which vanishes draw by draw where q = p, so that a Gaussian target leaves no noise floor.

Differs from the papers: Adam (Kingma & Ba 2015) moves the Gaussian in its own whitened coordinates, μ by Lδ and
L to L·(I + T), so that units and correlations that q has learnt no longer slow it down; draws come in antithetic
pairs; the learning rate is halved by evidence rather than by a schedule; an update that loses ELBO beyond noise
is taken back. With `max_descent_steps=0` it starts at unit scales as published, else where L-BFGS ends.
"""

import dataclasses
from functools import cache, singledispatch
from typing import Any, final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.compiling import compiled
from monochord.fits._base import AbstractFit, FitStatus, Scored, StepInfo
from monochord.fits._rules import has_run_away, has_settled, not_worse
from monochord.fits._score import antithetic_batch, elbo_terms, pair_mean, residual_terms
from monochord.fits._shift import is_shifted
from monochord.fits._staged import default_family
from monochord.fits._stages import CHECK_PAIRS, check, finish, spend
from monochord.fits._starts import StartedState, choose, descend, described, opening, shrunk
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, AbstractMetric, DenseMetric, DiagonalMetric, LowRank, LowRankMetric
from monochord.targets import AbstractTarget, Evaluations

WINDOW = 4  # steps that are compared with the four before, as in `Staged`
MAX_REJECTIONS = 30  # in a row: each halves the scales or the learning rate
FAR_RESIDUAL = 10.0  # a Gaussian with twice the right scales has 9; fits of funnels end below 1
MAX_MOVE = 5.0  # of a log scale in one update: far above any learning rate in use


@dataclasses.dataclass(frozen=True)
class AdviState(StartedState):
    """`moments` are Adam's, None before the first update; `learning_rate` is that of the next step."""

    moments: Any
    learning_rate: float
    num_halvings: int
    num_rejected: int


@final
class Advi(AbstractFit):
    """Stochastic gradients on the ELBO; one step is `updates` updates on a batch of `num_pairs` pairs each.

    `learning_rate` is in whitened units: the share of its own scale by which q moves in one update. It is halved
    when the ELBO has settled, and the fit ends when it has settled after `num_halvings` of them, or when
    the score residual is below `tolerance`. `start` replaces the descents; it is brought into the family.
    """

    family: AbstractFamily | None = None
    start: Gaussian | None = None
    learning_rate: float = eqx.field(static=True, default=0.1)  # from Kucukelbir et al.'s grid .01 ... 100
    num_halvings: int = eqx.field(static=True, default=5)  # to 0.003: the residual that is left is about dim·10⁻⁵
    num_pairs: int = eqx.field(static=True, default=4)  # one full group of lanes
    updates: int = eqx.field(static=True, default=10)  # 400 steps, the driver's limit, are 32,000 gradients
    num_starts: int = eqx.field(static=True, default=4)  # as `Staged`
    tolerance: float = eqx.field(static=True, default=0.02)  # as `Staged`
    max_descent_steps: int = eqx.field(static=True, default=100)  # as `Staged`
    check_pairs: int = eqx.field(static=True, default=CHECK_PAIRS)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> AdviState:
        """Evaluate starts: those given in `initial` (shape (n, dim)), or `num_starts` random ones."""
        rng = host_generator(key, 0)
        fields = opening(rng, target, self._family(target), "ascent", self.num_starts, initial, self.start)
        return AdviState(
            **fields, moments=None, learning_rate=self.learning_rate, num_halvings=0, num_rejected=0
        )  # fmt: skip

    def step(self, key: Key, target: AbstractTarget, state: AdviState) -> tuple[AdviState, StepInfo]:
        """One stage's step; in "ascent" `updates` batches of gradients."""
        rng = host_generator(key)
        stage = state.stage
        if stage == "descent":
            state = descend(target, state, self.max_descent_steps)
        elif stage == "candidates":
            state = choose(rng, target, self._family(target), state, "ascent")
        elif stage == "ascent":
            state = self._decide(self._ascend(rng, target, state))
        else:
            state = check(rng, target, state, num_pairs=self.check_pairs)
        return described(stage, state)

    def _ascend(self, rng, target, state: AdviState) -> AdviState:
        """`updates` updates; the evidence is the mean over their batches, each drawn from the q of its time."""
        gaussian = state.gaussian
        if state.moments is None:
            gaussian = _with_all_directions(rng, self._family(target), gaussian)
        moments, terms, num_finite = state.moments, [], 0
        for _ in range(self.updates):
            points = antithetic_batch(target, gaussian, rng, self.num_pairs)
            state = spend(state, points)
            terms.append(_terms(gaussian, points))
            num_finite += int(np.sum(points.finite()))
            updated = _update(gaussian, points, moments, state.learning_rate)
            if updated is None:
                state = dataclasses.replace(state, repairs=state.repairs.add(rejected_updates=1))
            else:
                gaussian, moments = updated
        elbo, residual = (pair_mean(np.concatenate(parts, axis=1)) for parts in zip(*terms, strict=True))
        evidence = Scored(gaussian, elbo, residual)
        state = dataclasses.replace(state, num_stage_steps=state.num_stage_steps + 1)
        if has_run_away(gaussian):
            return finish(dataclasses.replace(state, current=gaussian), FitStatus.diverged)
        share = num_finite / (2 * self.num_pairs * self.updates)
        if share <= 0.5 or not not_worse(evidence, state.best):
            return _taken_back(state)
        best = evidence if state.best is None or evidence.elbo.value > state.best.elbo.value else state.best
        scores = (*state.scores[-(2 * WINDOW - 1) :], evidence)
        is_far = residual.value - 2.0 * residual.standard_error > FAR_RESIDUAL
        if is_far or is_shifted(gaussian, points.take(points.finite())):  # on its way yet: no pause is an end
            scores = scores[-1:]
        return dataclasses.replace(
            state, current=gaussian, moments=moments, best=best, scores=scores, num_rejected=0
        )  # fmt: skip

    def _decide(self, state: AdviState) -> AdviState:
        """Go on, halve the learning rate, or finish, by the evidence at this learning rate."""
        if state.stage != "ascent":
            return state
        if state.num_rejected >= MAX_REJECTIONS:
            return finish(state, FitStatus.diverged if state.best is None else FitStatus.settled)
        if not state.scores or state.num_rejected:
            return state
        latest = state.scores[-1]
        if latest.residual.value + latest.residual.standard_error < self.tolerance:
            return finish(state, FitStatus.converged)
        if not has_settled(state.scores, window=WINDOW):
            return state
        if state.num_halvings >= self.num_halvings:
            return finish(state, FitStatus.settled)
        halvings = state.num_halvings + 1
        return dataclasses.replace(state, num_halvings=halvings, learning_rate=state.learning_rate / 2, scores=())

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)


def _taken_back(state: AdviState) -> AdviState:
    """Back to the best Gaussian with half the learning rate; with half the scales where there is none yet."""
    state = dataclasses.replace(
        state, repairs=state.repairs.add(rejected_updates=1), num_rejected=state.num_rejected + 1, moments=None
    )  # fmt: skip
    if state.best is None:
        return dataclasses.replace(state, current=shrunk(state.gaussian, 0.5))
    return dataclasses.replace(state, current=state.best.gaussian, learning_rate=state.learning_rate / 2)


def _terms(gaussian: Gaussian, points: Evaluations):
    """ELBO and residual terms, each (2, pairs); NaN where a point is not finite."""
    finite = points.finite()
    terms = (elbo_terms(gaussian, points), residual_terms(gaussian, points))
    return tuple(np.where(finite, term, np.nan).reshape(2, -1) for term in terms)


def _update(gaussian: Gaussian, points: Evaluations, moments, learning_rate: float):
    """The Gaussian and Adam's moments after one update; None where no finite update exists."""
    points = points.take(points.finite())
    if not len(points.x):
        return None
    gradient = path_gradient(gaussian, points)
    if not all(np.all(np.isfinite(part)) for part in gradient.values()):
        return None
    if moments is None:
        moments = _adam().init(gradient)
    direction, moments = _adam_step(gradient, moments)
    move = {name: learning_rate * np.asarray(part, dtype=np.float64) for name, part in direction.items()}
    try:
        return _moved(gaussian.metric, gaussian.mean, move), moments
    except (ValueError, np.linalg.LinAlgError):
        return None


@cache
def _adam():
    import optax

    # b1 and eps are Kingma & Ba's; gradients fall by orders of magnitude while q finds its scales, which their
    # b2 = .999 would remember for a thousand updates
    return optax.scale_by_adam(b1=0.9, b2=0.95, eps=1e-8)


@compiled()
def _adam_step(gradient, moments):
    return _adam().update(gradient, moments)


def path_gradient(gaussian: Gaussian, points: Evaluations) -> dict[str, np.ndarray]:
    """Mean over points of the path derivative of log p − log q in the local coordinates of `gaussian`.

    "mean" (dim,) is that of δ in μ + Lδ; the others depend on the metric. Overflow shows as non-finite entries.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.asarray(gaussian.metric.whiten(points.x - gaussian.mean))
        gap = points.score - np.asarray(gaussian.score(points.x))
        mean = np.asarray(gaussian.metric.whiten_covector(gap)).mean(0)
        return {"mean": mean, **_shape_gradient(gaussian.metric, z, gap)}


@singledispatch
def _shape_gradient(metric: AbstractMetric, z, gap) -> dict[str, np.ndarray]:
    """Gradients of the metric's own coordinates at whitened draws `z` with score gaps `gap`, both (n, dim)."""
    raise TypeError(f"`Advi` knows no coordinates for {type(metric).__name__}. Use `Diagonal`, `Dense` or `LowRank`.")


@_shape_gradient.register
def _(metric: DiagonalMetric, z, gap):
    return {"scale": (metric.whiten_covector(gap) * z).mean(0)}


@_shape_gradient.register
def _(metric: DenseMetric, z, gap):
    return {"factor": np.tril(np.asarray(metric.whiten_covector(gap)).T @ z) / len(z)}


@_shape_gradient.register
def _(metric: LowRankMetric, z, gap):
    h = gap * metric.scale
    roots, basis = np.sqrt(metric.eigenvalues), metric.basis
    h_in, z_in = h @ basis, z @ basis
    stretched = z + (z_in * (roots - 1.0)) @ basis.T
    turning = (h.T @ z_in + z.T @ h_in) / len(z) * (roots - 1.0)
    return {"scale": (h * stretched).mean(0), "root": (h_in * z_in).mean(0) * roots, "basis": turning}


@singledispatch
def _moved(metric: AbstractMetric, mean, move: dict[str, np.ndarray]) -> Gaussian:
    """The Gaussian after a `move` in local coordinates; all moves of zero leave it where it is."""
    raise TypeError(f"`Advi` knows no coordinates for {type(metric).__name__}. Use `Diagonal`, `Dense` or `LowRank`.")


@_moved.register
def _(metric: DiagonalMetric, mean, move):
    shifted = mean + metric.unwhiten(move["mean"])
    return Gaussian(shifted, DiagonalMetric(metric.scale * _exp(move["scale"])))


@_moved.register
def _(metric: DenseMetric, mean, move):
    """T has the unit of one column each: its dim entries a row would else add up to √dim learning rates."""
    from scipy.linalg.lapack import dtrtri  # pyright: ignore[reportAttributeAccessIssue]

    turn = np.tril(move["factor"], -1) / np.sqrt(metric.dim) + np.diag(_exp(np.diag(move["factor"])))
    factor = np.tril(metric.factor @ turn)
    inverse, failure = dtrtri(factor, lower=1)
    if failure or not np.all(np.isfinite(inverse)):
        raise np.linalg.LinAlgError("the factor has no finite inverse")
    return Gaussian(mean + metric.unwhiten(move["mean"]), DenseMetric(factor, inverse))


@_moved.register
def _(metric: LowRankMetric, mean, move):
    """U stays orthonormal by a QR retraction of U + move/√dim with the signs of U."""
    q, r = np.linalg.qr(metric.basis + move["basis"] / np.sqrt(metric.dim))
    basis = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    eigenvalues = metric.eigenvalues * _exp(2.0 * move["root"])
    moved = LowRankMetric(metric.scale * _exp(move["scale"]), basis, eigenvalues)
    return Gaussian(mean + metric.unwhiten(move["mean"]), moved)


def _exp(log_factor):
    return np.exp(np.clip(log_factor, -MAX_MOVE, MAX_MOVE))


def _with_all_directions(rng, family: AbstractFamily, gaussian: Gaussian) -> Gaussian:
    """A low-rank start with as many directions as the family has, the new ones half slow and half fast.

    A direction of eigenvalue 1 has no gradient to turn by; 2 and 1/2 are within an update's reach of it.
    """
    metric = gaussian.metric
    if not isinstance(family, LowRank) or not isinstance(metric, LowRankMetric):
        return gaussian
    missing = min(family.rank, metric.dim) - metric.rank
    if missing <= 0:
        return gaussian
    fresh = rng.standard_normal((metric.dim, missing))
    basis = np.linalg.qr(np.concatenate([metric.basis, fresh], axis=1))[0]
    basis[:, : metric.rank] = metric.basis
    eigenvalues = np.where(np.arange(missing) % 2, 2.0, 0.5)
    return Gaussian(
        gaussian.mean, LowRankMetric(metric.scale, basis, np.concatenate([metric.eigenvalues, eigenvalues]))
    )  # fmt: skip
