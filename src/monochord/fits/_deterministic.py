"""`DeterministicAdvi`: the ELBO on fixed draws, minimised by a trust-region Newton method.

Giordano, Ingram & Broderick (2024, "DADVI"): with N draws z fixed once, minimise

    f(μ, L) = mean over z of U(μ + Lz) − log det L,   U = −log density,

a deterministic problem, solved by `scipy.optimize.minimize(method="trust-ncg")` with Hessian-vector products.

Differs from the paper: the draws are antithetic and moment-matched, so that their second moment is exactly I. On a
Gaussian target any draws give κ(ΣH) = κ(their second moment), hence matched ones are exact; this also makes the
full-rank family work, from N = 2 dim on. The unknowns are δ and T in μ + L(δ + Tz), L that of the current Gaussian,
which preconditions Newton's method; log T_ii are free. A step is one call of the optimiser of a few iterations:
the Gaussian and the trust radius are the whole state. The answer is judged by fresh draws.
"""

import contextlib
import dataclasses
import math
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.cost import Cost
from monochord.estimate import mean_estimate
from monochord.fits._base import AbstractFit, FitStatus, Scored, StepInfo
from monochord.fits._rules import has_run_away
from monochord.fits._score import elbo_terms, residual_terms
from monochord.fits._staged import default_family
from monochord.fits._stages import CHECK_PAIRS, check, finish, spend
from monochord.fits._starts import StartedState, choose, descend, described, matched_draws, opening, shrunk
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, DenseMetric, Diagonal, DiagonalMetric
from monochord.targets import AbstractTarget, Evaluations, evaluate, hessian_products, idle_lanes

DEFAULT_PAIRS = 32  # the paper takes 30 draws; 64 fill one batch
ITERATIONS = 5  # of the optimiser in one step
MAX_PRODUCTS = 100  # in one step: more of them mean that the trust region is too wide for the curvature seen
LEAST_GAIN = 1e-3  # nats of a step: far below the noise of the check, and Newton is quadratic by then
GRADIENT_LIMIT = 1e-6  # in whitened units
LEAST_RADIUS = 1e-6  # in whitened units
MAX_SHRINKS = 40  # of a start whose fixed draws leave the support


@dataclasses.dataclass(frozen=True)
class DeterministicState(StartedState):
    """`draws` are the fixed z, (n, dim); `radius` is the trust radius of the next step."""

    draws: np.ndarray
    radius: float


@final
class DeterministicAdvi(AbstractFit):
    """The ELBO on fixed draws, for `Diagonal` and `Dense`.

    `family=None` is dense where the default family is, else diagonal. `num_pairs` antithetic pairs of draws are
    fixed, by default 32 and, for a dense family, at least dim; with `matched=False` they are 2 · `num_pairs`
    independent ones, as published. `tolerance` is the score residual on fresh draws that counts as converged.

    **Raises** `ValueError` at `init` for families without a bounded objective: low rank, whose basis would turn to
    directions that no draw sees, and dense with fewer draws than dimensions.
    """

    family: AbstractFamily | None = None
    start: Gaussian | None = None
    num_pairs: int | None = eqx.field(static=True, default=None)
    matched: bool = eqx.field(static=True, default=True)
    num_starts: int = eqx.field(static=True, default=4)  # as `Staged`
    tolerance: float = eqx.field(static=True, default=0.02)  # as `Staged`
    max_descent_steps: int = eqx.field(static=True, default=100)  # as `Staged`
    check_pairs: int = eqx.field(static=True, default=CHECK_PAIRS)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> DeterministicState:
        """Fix the draws, and evaluate starts: those given in `initial` (shape (n, dim)), or random ones."""
        family = self._family(target)
        num_pairs = self._num_pairs(family, target.dim)
        draw = matched_draws if self.matched else _plain_draws
        draws = draw(host_generator(key, 1), num_pairs, target.dim)
        fields = opening(host_generator(key, 0), target, family, "solve", self.num_starts, initial, self.start)
        return DeterministicState(**fields, draws=draws, radius=min(100.0, math.sqrt(target.dim)))

    def step(self, key: Key, target: AbstractTarget, state: DeterministicState) -> tuple[DeterministicState, StepInfo]:
        """One stage's step; in "solve" one call of the optimiser, up to `ITERATIONS` trial points."""
        rng = host_generator(key)
        stage = state.stage
        if stage == "descent":
            state = descend(target, state, self.max_descent_steps)
        elif stage == "candidates":
            state = choose(rng, target, self._family(target), state, "solve")
        elif stage == "solve":
            state = _solve(target, state)
        else:
            state = self._checked(check(rng, target, state, num_pairs=self.check_pairs))
        return described(stage, state)

    def _checked(self, state: DeterministicState) -> DeterministicState:
        """Converged where the fresh draws say so: the fixed ones are fitted, and flatter the fit."""
        residual = state.best.residual if state.best is not None and state.stage == "done" else None
        if residual is None or state.status is not FitStatus.settled:
            return state
        small = residual.value + residual.standard_error < self.tolerance
        return dataclasses.replace(state, status=FitStatus.converged) if small else state

    def _family(self, target) -> AbstractFamily:
        if self.family is not None:
            return self.family
        return Dense() if isinstance(default_family(target.dim), Dense) else Diagonal()

    def _num_pairs(self, family, dim: int) -> int:
        if not isinstance(family, (Diagonal, Dense)):
            raise ValueError(
                f"`DeterministicAdvi(family={family})` has no bounded objective: a basis that is free turns to "
                "directions which no fixed draw sees. Use `Diagonal()` or `Dense()`, or `Advi` for low rank."
            )
        is_dense = isinstance(family, Dense)
        num_pairs = self.num_pairs
        if num_pairs is None:
            num_pairs = max(DEFAULT_PAIRS, dim if is_dense else 1)
        num_distinct = num_pairs if self.matched else 2 * num_pairs - 1  # plain draws lose one to the free mean
        if num_pairs < 1 or (is_dense and num_distinct < dim):
            raise ValueError(
                f"`DeterministicAdvi(num_pairs={num_pairs})` is too few for a dense family in {dim} dimensions. The "
                "fixed draws must span the space, else scales grow without bound where they do not. Leave "
                f"`num_pairs=None`, pass at least {dim}, or use `Diagonal()`."
            )
        return num_pairs


def _plain_draws(rng, num_pairs, dim):
    return rng.standard_normal((2 * num_pairs, dim))


class _Objective:
    """f, its gradient and Hessian products in θ = (δ, T) about `gaussian`; pays for nothing twice."""

    def __init__(self, target, gaussian: Gaussian, z):
        self.target, self.gaussian, self.z = target, gaussian, z
        self.dim, self.is_dense = gaussian.dim, isinstance(gaussian.metric, DenseMetric)
        self.rows, self.columns = np.tril_indices(self.dim, -1) if self.is_dense else (np.arange(0), np.arange(0))
        self.evaluated: dict[bytes, Evaluations] = {}
        self.products: dict[bytes, list] = {}  # of each θ: pairs of a direction and its product
        self.num_products = 0

    def split(self, theta):
        """δ (dim,), log diagonal of T (dim,), T's strictly lower part, (dim, dim) or empty."""
        shift, logs = theta[: self.dim], theta[self.dim : 2 * self.dim]
        lower = np.zeros((self.dim, self.dim) if self.is_dense else (0, 0))
        if self.is_dense:
            lower[self.rows, self.columns] = theta[2 * self.dim :]
        return shift, logs, lower

    @property
    def size(self) -> int:
        return 2 * self.dim + len(self.rows)

    def moved(self, theta) -> Gaussian:
        """The Gaussian that θ stands for."""
        shift, logs, lower = self.split(theta)
        metric = self.gaussian.metric
        mean = self.gaussian.mean + metric.unwhiten(shift)
        if not isinstance(metric, DenseMetric):
            return Gaussian(mean, DiagonalMetric(np.sqrt(metric.diagonal()) * np.exp(logs)))
        covariance_root = metric.factor @ (lower + np.diag(np.exp(logs)))
        return Gaussian(mean, DenseMetric.from_covariance(covariance_root @ covariance_root.T))

    def _place(self, theta):
        shift, logs, lower = self.split(theta)
        turned = self.z * np.exp(logs) + (self.z @ lower.T if self.is_dense else 0.0)
        return self.gaussian.place(shift + turned)

    def evaluations(self, theta) -> Evaluations:
        """Scores at the draws as θ places them."""
        name = theta.tobytes()
        if name not in self.evaluated:
            with np.errstate(over="ignore", invalid="ignore"):
                self.evaluated[name] = evaluate(self.target, self._place(theta))
        return self.evaluated[name]

    def value(self, theta) -> float:
        """In nats; infinite where a draw is not finite, so that the trust region shrinks."""
        points = self.evaluations(theta)
        if not np.all(points.finite()):
            return math.inf
        return float(-np.mean(points.log_density) - np.sum(theta[self.dim : 2 * self.dim]))

    def gradient(self, theta):
        """∂f/∂θ, (size,)."""
        slope = self._pull_back(theta, -self.evaluations(theta).score)
        slope[self.dim : 2 * self.dim] -= 1.0  # of log det L
        return slope

    def product(self, theta, direction):
        """∂²f/∂θ² times `direction`: 2 gradients a draw, none where earlier directions span it.

        The optimiser asks again for the product with each step, a sum of directions it has asked for.
        """
        known = self.products.setdefault(theta.tobytes(), [])
        if known:
            directions, images = (np.stack(part, axis=1) for part in zip(*known, strict=True))
            weights = np.linalg.lstsq(directions, direction, rcond=None)[0]
            if np.linalg.norm(directions @ weights - direction) <= 1e-10 * np.linalg.norm(direction):
                return images @ weights
        image = self._new_product(theta, direction)
        known.append((np.array(direction), image))
        return image

    def _new_product(self, theta, direction):
        if self.num_products >= MAX_PRODUCTS:
            raise np.linalg.LinAlgError("the step's share of Hessian products is spent")
        self.num_products += 1
        points = self.evaluations(theta)
        shift, logs, lower = self.split(direction)
        factors = np.exp(theta[self.dim : 2 * self.dim])
        change = shift + self.z * (factors * logs) + (self.z @ lower.T if self.is_dense else 0.0)
        turned = hessian_products(self.target, points.x, np.asarray(self.gaussian.metric.unwhiten(change)))
        if not np.all(np.isfinite(turned)):
            raise np.linalg.LinAlgError("a Hessian product is not finite")
        out = self._pull_back(theta, turned)
        curved = np.mean(np.asarray(self.gaussian.metric.whiten_covector(-points.score)) * self.z, axis=0)
        out[self.dim : 2 * self.dim] += logs * factors * curved  # the second derivative of exp
        return out

    def _pull_back(self, theta, covectors):
        """Mean over draws of a covector at x times ∂x/∂θ."""
        h = np.asarray(self.gaussian.metric.whiten_covector(covectors))
        scale = np.mean(h * self.z, axis=0) * np.exp(theta[self.dim : 2 * self.dim])
        lower = (h.T @ self.z / len(h))[self.rows, self.columns] if self.is_dense else np.zeros(0)
        return np.concatenate([h.mean(0), scale, lower])


def _solve(target: AbstractTarget, state: DeterministicState) -> DeterministicState:
    """One call of the optimiser from the current Gaussian."""
    objective = _Objective(target, state.gaussian, state.draws)
    origin = np.zeros(objective.size)
    before = objective.value(origin)
    if not math.isfinite(before):
        return _closer(_charged(state, objective))
    theta = _minimised(objective, origin, state.radius)
    state = _charged(state, objective)
    gain, slope = before - objective.value(theta), float(np.linalg.norm(objective.gradient(theta)))
    try:
        moved = objective.moved(theta)
    except (ValueError, np.linalg.LinAlgError):
        moved, theta, gain = state.gaussian, origin, 0.0
        state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=1))
    points = objective.evaluations(theta)
    evidence = Scored(moved, mean_estimate(elbo_terms(moved, points)), mean_estimate(residual_terms(moved, points)))
    num_steps = state.num_stage_steps + 1
    state = dataclasses.replace(state, current=moved, scores=(evidence,), num_stage_steps=num_steps)
    return _decide(state, gain, slope, bool(np.linalg.norm(theta) < 0.5 * state.radius))


def _minimised(objective: _Objective, origin, radius: float):
    """The last point that the optimiser accepted in its few iterations."""
    from scipy.optimize import minimize

    accepted = [origin]
    with contextlib.suppress(np.linalg.LinAlgError):  # no further product in this step
        minimize(
            objective.value, origin, jac=objective.gradient, hessp=objective.product, method="trust-ncg",
            callback=lambda theta: accepted.append(np.array(theta)),
            options={"maxiter": ITERATIONS, "initial_trust_radius": radius, "gtol": GRADIENT_LIMIT / 100.0},
        )  # fmt: skip
    return accepted[-1]


def _decide(state: DeterministicState, gain: float, slope: float, is_inside: bool) -> DeterministicState:
    """Finish where the fixed draws have no more to gain; narrow the trust region where it was too wide to see.

    `is_inside`: the step ended well within its trust region, so that a wider or narrower one changes nothing.
    """
    if has_run_away(state.gaussian):
        return finish(state, FitStatus.diverged)
    if gain > LEAST_GAIN:
        return state
    if slope < GRADIENT_LIMIT or state.radius < LEAST_RADIUS or (gain > 0.0 and is_inside):
        return finish(state, FitStatus.settled)
    repairs = state.repairs.add(rejected_updates=1)
    return dataclasses.replace(state, radius=state.radius / 4.0**ITERATIONS, repairs=repairs)


def _closer(state: DeterministicState) -> DeterministicState:
    """Half the scales, where a fixed draw left the support."""
    if state.num_stage_steps >= MAX_SHRINKS:
        return finish(state, FitStatus.diverged)
    repairs = state.repairs.add(rejected_updates=1)
    return dataclasses.replace(
        state, current=shrunk(state.gaussian, 0.5), repairs=repairs, num_stage_steps=state.num_stage_steps + 1
    )  # fmt: skip


def _charged(state: DeterministicState, objective: _Objective) -> DeterministicState:
    """`state` with everything that `objective` has spent; a product is two gradients a draw."""
    for points in objective.evaluated.values():
        state = spend(state, points)
    count = len(objective.z)
    products = 2 * objective.num_products
    return dataclasses.replace(state, cost=state.cost + Cost(products * count, products * idle_lanes(count)))
