"""`Laplace`: the Gaussian at the mode, with the inverse Hessian there.

MacKay (2003, Information Theory, Inference, and Learning Algorithms, chapter 27). Stages:

1. *descent*: L-BFGS from several starts side by side, each to its mode.
2. *newton*: damped Newton steps from the best end; where the last is small, its Hessian makes the Gaussian.
3. *check*: fresh draws of the Gaussian, from which every reported number comes.

Exact for a Gaussian target; elsewhere the curvature at one point, which a hierarchical model's mode belies.
"""

import dataclasses
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.cost import Cost
from monochord.fits import _lbfgs
from monochord.fits._base import AbstractFit, FitStatus, StepInfo
from monochord.fits._krylov import block_krylov
from monochord.fits._laplace import is_converged, laplace_like, lifted, path_diagonal, restricted, structured
from monochord.fits._rules import RUNAWAY, has_run_away
from monochord.fits._staged import default_family
from monochord.fits._stages import charge, check, enter, finish, spend
from monochord.fits._starts import StartedState, described, in_family, opening
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, DenseMetric, Diagonal, DiagonalMetric, LowRank, LowRankMetric
from monochord.targets import AbstractTarget, evaluate, hessian_products, hessians

EXACT_LIMIT = 1000  # dimensions up to which a dense Hessian is formed: 8 MB, 2·dim gradients
NUM_PROBES = 16  # of the Hessian's diagonal: a relative error of ¼ where couplings are as large as itself
BLOCK = 8  # vectors multiplied at once: as many as the target evaluates side by side
EXTRA_BLOCKS = 2  # beyond two for each block of wanted directions (Halko, Martinsson & Tropp 2011, section 4.5)
SMALL_DECREMENT = 1e-3  # nats: the mode is then within 0.05 standard deviations, and a Newton step squares that
MAX_NEWTON_STEPS = 8  # of quadratic convergence from where L-BFGS ended
MAX_CONJUGATE_STEPS = 20  # products of one inexact Newton step
LENGTHS = 0.5 ** np.arange(8)  # of a damped step, tried as one batch


@dataclasses.dataclass(frozen=True)
class LaplaceState(StartedState):
    """Everything a step needs; from *newton* on, the only search stands at the best end."""


@final
class Laplace(AbstractFit):
    """Laplace's approximation on `Diagonal`, `Dense` or `LowRank`; `family=None` chooses by dimension.

    `num_starts` descents (Stan's number of chains) from uniform(−2, 2) about the target's centre, of at most
    `max_descent_steps` trial points. `tolerance` is the score residual at which the fit has converged.

    In up to `EXACT_LIMIT` dimensions the Hessian H is formed (2·dim gradients) for `Dense`, where L-BFGS has
    not converged, and where that is no dearer than the descent was or than the products of the other way. Else a diagonal comes from random probes and the
    path's curvature, and block Krylov products give the extreme directions. A structured family
    takes its member of least KL to N(mode, H⁻¹), so 1/√H_ii where it is diagonal.

    Differs from the textbook: eigenvalues of the scaled Hessian that are negative count by their size and
    those near zero are lifted to a floor, all counted as `failed_factorisations`; the status is then that of
    a divergence, as the point is no mode.
    """

    family: AbstractFamily | None = None
    num_starts: int = eqx.field(static=True, default=4)
    max_descent_steps: int = eqx.field(static=True, default=350)  # leaves room below the driver's 400
    tolerance: float = eqx.field(static=True, default=0.02)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> LaplaceState:
        """Evaluate starts: those given in `initial` (shape (n, dim)), or `num_starts` random ones."""
        rng = host_generator(key, 0)
        return LaplaceState(**opening(rng, target, self._family(target), "newton", self.num_starts, initial, None))

    def step(self, key: Key, target: AbstractTarget, state: LaplaceState) -> tuple[LaplaceState, StepInfo]:
        rng, stage = host_generator(key), state.stage
        kind = type(self)  # bound methods are made anew at each mention, at 15 µs each
        advance = {"descent": kind._descend, "newton": kind._newton, "check": kind._check}
        return described(stage, advance[stage](self, rng, target, state))

    def _descend(self, rng, target, state: LaplaceState) -> LaplaceState:
        """One trial point of every search that has not converged."""
        running = [not (s.is_stuck or is_converged(s) or _is_lost(s)) for s in state.searches]
        if not any(running) or state.num_stage_steps >= self.max_descent_steps:
            best = min(state.searches, key=lambda search: search.potential)
            if _is_lost(best):
                return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
            return dataclasses.replace(enter(state, "newton"), searches=(best,))
        points = evaluate(target, np.stack([s.trial for s, on in zip(state.searches, running, strict=True) if on]))
        answers = iter(zip(-points.log_density, -points.score, strict=True))
        searches = tuple(
            _lbfgs.advance(search, *next(answers)) if on else search
            for search, on in zip(state.searches, running, strict=True)
        )
        return dataclasses.replace(spend(state, points), searches=searches, num_stage_steps=state.num_stage_steps + 1)

    def _newton(self, rng, target, state: LaplaceState) -> LaplaceState:
        """A damped Newton step, or the Gaussian where nothing is left to gain."""
        (search,) = state.searches
        family = self._family(target)
        hessian = None
        if _is_exact(family, search, state.cost.gradients):
            hessian = hessians(target, search.x[None])[0]
            state = dataclasses.replace(state, cost=state.cost + Cost(2 * target.dim))
            if not np.all(np.isfinite(hessian)):
                return self._without_hessian(state, search, family)
            metric, _ = lifted(hessian)
            direction = -np.asarray(metric.matvec(search.gradient))
        else:
            direction, products = _conjugate_direction(target, search)
            state = charge(state, [1] * products)
        decrement = -0.5 * float(search.gradient @ direction)
        if decrement > SMALL_DECREMENT and state.num_stage_steps < MAX_NEWTON_STEPS:
            points = evaluate(target, search.x + LENGTHS[:, None] * direction)
            state = spend(state, points)
            heights = np.where(points.finite(), points.log_density, -np.inf)
            index = int(np.argmax(heights))
            if -heights[index] < search.potential - _lbfgs.ARMIJO * LENGTHS[index] * 2.0 * decrement:
                moved = dataclasses.replace(
                    search, x=points.x[index], potential=-float(heights[index]), gradient=-points.score[index]
                )
                if _is_lost(moved):
                    return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
                return dataclasses.replace(state, searches=(moved,), num_stage_steps=state.num_stage_steps + 1)
        return self._conclude(rng, target, state, hessian, direction, decrement)

    def _conclude(self, rng, target, state: LaplaceState, hessian, direction, decrement) -> LaplaceState:
        """The Gaussian at the end, its mean moved by the last small Newton step."""
        (search,) = state.searches
        family = self._family(target)
        if hessian is not None:
            metric, num_lifted = lifted(hessian)
            if not isinstance(family, Dense):
                metric = structured(family, metric)
        else:
            metric, num_lifted, products = _krylov_metric(rng, target, search, family)
            state = charge(state, products)
        found = num_lifted == 0 and decrement <= SMALL_DECREMENT
        status = FitStatus.settled if found else FitStatus.diverged if num_lifted else FitStatus.max_steps
        mean = search.x + direction if found else search.x
        state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=num_lifted))
        if isinstance(family, Dense):
            try:
                metric = DenseMetric.from_covariance(_symmetric(metric.dense()))
            except ValueError:  # too ill-conditioned for one dense matrix: the same Gaussian in its factored form
                state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=1))
        gaussian = Gaussian(mean, metric)
        status = FitStatus.diverged if has_run_away(gaussian) else status
        return finish(dataclasses.replace(state, current=gaussian), status)

    def _without_hessian(self, state: LaplaceState, search: _lbfgs.Search, family) -> LaplaceState:
        """Where second derivatives are not finite, the curvature that the descent has seen."""
        gaussian = laplace_like(family, search)
        gaussian = Gaussian(gaussian.mean, in_family(family, gaussian.metric))
        repairs = state.repairs.add(failed_factorisations=1)
        status = FitStatus.settled if is_converged(search) else FitStatus.max_steps
        return finish(dataclasses.replace(state, current=gaussian, repairs=repairs), status)

    def _check(self, rng, target, state: LaplaceState) -> LaplaceState:
        """Evidence for the Gaussian; converged where its residual is small."""
        state = check(rng, target, state)
        assert state.best is not None  # the closing check has just made it
        residual = state.best.residual
        small = residual.value + residual.standard_error < self.tolerance
        return (
            dataclasses.replace(state, status=FitStatus.converged)
            if state.status is FitStatus.settled and small
            else state
        )

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)


def _is_lost(search: _lbfgs.Search) -> bool:
    return not np.all(np.abs(search.x) < RUNAWAY)


def _is_exact(family: AbstractFamily, search: _lbfgs.Search, num_spent: int) -> bool:
    """True where forming the Hessian is asked for, costs no more than the alternative or the descent, or must help.

    Where L-BFGS has not converged the problem is ill-conditioned, and so would conjugate gradients be slow.
    """
    dim = len(search.x)
    wanted = isinstance(family, Dense) or not is_converged(search) or 2 * dim <= num_spent
    return (wanted and dim <= EXACT_LIMIT) or dim <= 2 * NUM_PROBES + _num_products(family, dim)


def _wanted(family: AbstractFamily, dim: int) -> int:
    """Directions sought: the rank; for the other families as many as the default low-rank family has."""
    return family.rank if isinstance(family, LowRank) else min(50, max(1, dim // 10))


def _num_products(family: AbstractFamily, dim: int) -> int:
    return 2 * BLOCK * (2 * -(-_wanted(family, dim) // BLOCK) + EXTRA_BLOCKS)


def _conjugate_direction(target, search: _lbfgs.Search) -> tuple[np.ndarray, int]:
    """Inexact Newton direction and the number of products; it stops where the curvature is not positive.

    Conjugate gradients preconditioned by the L-BFGS model (Nocedal & Wright 2006, algorithm 7.1).
    """
    x, residual = np.zeros_like(search.x), search.gradient
    solved = _lbfgs.inverse_hessian_times(search.pairs, residual)
    direction, size = -solved, residual @ solved
    first, count = size, 0
    while count < MAX_CONJUGATE_STEPS and size > 1e-6 * first:
        product = hessian_products(target, search.x[None], direction[None])[0]
        count += 1
        curvature = direction @ product
        if not (np.all(np.isfinite(product)) and curvature > 0):
            break
        length = size / curvature
        x, residual = x + length * direction, residual + length * product
        solved = _lbfgs.inverse_hessian_times(search.pairs, residual)
        last, size = size, residual @ solved
        direction = -solved + (size / last) * direction
    return (x if np.any(x) else -_lbfgs.inverse_hessian_times(search.pairs, search.gradient)), count


def _krylov_metric(rng, target, search: _lbfgs.Search, family):
    """`(metric, number of lifted eigenvalues, batches of products)` without forming the Hessian H.

    With s the path's diagonal and A = sHs: probes z of random signs give diag(A) as the mean of z ∘ Az (Bekas,
    Kokiopoulou & Saad 2007), which mends s; products span a block Krylov space. Then both once more, now with
    probes orthogonal to the largest Ritz vectors, whose noise would drown the rest of the diagonal.
    Rayleigh and Ritz give the extreme pairs; outside the space A is taken as I, which is what s made it.
    """
    dim = len(search.x)
    scale = np.sqrt(path_diagonal(search.pairs)) if search.pairs else np.ones(dim)

    def times(rows):
        out = scale * hessian_products(target, np.repeat(search.x[None], len(rows), axis=0), scale * rows)
        return np.where(np.isfinite(out), out, 0.0)

    vectors, batches = np.zeros((0, dim)), []
    for _ in range(2):
        scale = scale / np.sqrt(_probed_diagonal(rng, times, vectors[-_wanted(family, dim) :]))
        basis, images = block_krylov(rng, times, BLOCK, _num_products(family, dim) // 2, dim)
        ritz, inner = np.linalg.eigh(_symmetric(basis @ images.T))
        vectors = inner.T @ basis
        batches += [NUM_PROBES] + [BLOCK] * (len(basis) // BLOCK)
    floor = 1e-12 * float(np.max(np.abs(ritz)))
    num_lifted = int(np.sum(ritz < floor))
    metric = LowRankMetric(scale, vectors.T, 1.0 / np.maximum(np.abs(ritz), floor))
    if isinstance(family, Diagonal):  # least KL, as in `structured`
        return DiagonalMetric(np.asarray(metric.precision_diagonal()) ** -0.5), num_lifted, batches
    return restricted(family, metric), num_lifted, batches


def _probed_diagonal(rng, times, vectors) -> np.ndarray:
    """Diagonal of A without the part along the rows of `vectors`; at least its own standard error."""
    signs = rng.choice([-1.0, 1.0], size=(NUM_PROBES, vectors.shape[1]))
    images = times(signs - (signs @ vectors.T) @ vectors)
    probes = signs * (images - (images @ vectors.T) @ vectors)
    error = probes.std(0, ddof=1) / np.sqrt(NUM_PROBES)
    left = np.maximum(1.0 - np.sum(vectors**2, axis=0), 0.5)  # of a coordinate that P leaves
    diagonal = np.maximum(probes.mean(0), error) / left
    return np.maximum(diagonal, max(1e-3 * float(np.median(diagonal)), 1e-300))


def _symmetric(matrix) -> np.ndarray:
    return (np.asarray(matrix) + np.asarray(matrix).T) / 2
