"""L-BFGS as a value that is asked for a trial point and told the answer: the way to the typical set.

Several searches run side by side on one batch of gradients. The line search is the weak-Wolfe
bisection of Lewis & Overton (2013, Mathematical Programming 141, algorithm 2.6): it needs no
interpolation, so points where the density is zero or not a number only shorten the step.
"""

import dataclasses
import math

import numpy as np

ARMIJO, CURVATURE = 1e-4, 0.9  # Nocedal & Wright (2006), section 3.1
MEMORY = 60  # pairs kept: ill-conditioned regressions need a third fewer steps than with 20; more gain nothing
MAX_TRIALS = 40  # of one line search: 2⁻⁴⁰ spans all useful scales


@dataclasses.dataclass(frozen=True)
class Search:
    """One L-BFGS descent of the potential U = −log density."""

    x: np.ndarray
    potential: float
    gradient: np.ndarray
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    recent: tuple[float, ...]  # potentials of the last accepted points, oldest first
    num_accepted: int
    direction: np.ndarray
    slope: float
    step: float
    lower: float
    upper: float
    fallback: tuple[float, np.ndarray, float] | None  # decrease without the curvature condition
    num_trials: int
    is_stuck: bool

    @property
    def trial(self) -> np.ndarray:
        """The point whose potential and gradient are wanted next."""
        return self.x + self.step * self.direction

    @property
    def decrement(self) -> float:
        """½ gᵀH⁻¹g in nats: how far a quadratic model sees the potential above its minimum."""
        return -0.5 * self.slope


def begin(x, potential: float, gradient) -> Search:
    """Search at a point of finite potential."""
    return _aim(x, potential, gradient, (), (potential,), 0)


def _aim(x, potential, gradient, pairs, recent, num_accepted) -> Search:
    direction = -inverse_hessian_times(pairs, gradient)
    slope = float(gradient @ direction)
    if slope >= 0 and pairs:
        pairs, direction, slope = (), -gradient, -float(gradient @ gradient)
    norm = float(np.linalg.norm(direction))
    step = 1.0 if pairs or norm == 0 else min(1.0, 1.0 / norm)
    return Search(
        x, potential, gradient, pairs, recent, num_accepted, direction, slope, step, 0.0, math.inf, None, 0, norm == 0
    )  # fmt: skip


def advance(search: Search, potential: float, gradient) -> Search:
    """Accept the trial point, or move the bracket of the step length."""
    finite = np.isfinite(potential) and bool(np.all(np.isfinite(gradient)))
    lower, upper, fallback = search.lower, search.upper, search.fallback
    if not finite or potential > search.potential + ARMIJO * search.step * search.slope:
        upper = search.step
    elif gradient @ search.direction < CURVATURE * search.slope:
        lower, fallback = search.step, (potential, gradient, search.step)
    else:
        return _accept(search, potential, gradient, search.step)
    num_trials = search.num_trials + 1
    if num_trials >= MAX_TRIALS or (math.isfinite(upper) and upper - lower <= 1e-12 * upper):
        return _give_up(search, fallback)
    if math.isinf(upper):
        step = 2.0 * search.step
    else:
        step = lower + (0.5 if finite else 0.1) * (upper - lower)
    return dataclasses.replace(search, lower=lower, upper=upper, fallback=fallback, num_trials=num_trials, step=step)


def _accept(search, potential, gradient, step):
    x = search.x + step * search.direction
    s, y = x - search.x, gradient - search.gradient
    pairs = search.pairs
    if s @ y > 1e-12 * math.sqrt((s @ s) * (y @ y)):
        pairs = (*pairs[-(MEMORY - 1) :], (s, y))
    recent = (*search.recent[-4:], potential)
    return _aim(x, potential, gradient, pairs, recent, search.num_accepted + 1)


def _give_up(search, fallback):
    if fallback is not None:
        return _accept(search, *fallback)
    if search.pairs:  # a poor model of the curvature: forget it and go downhill
        return _aim(search.x, search.potential, search.gradient, (), search.recent, search.num_accepted)
    return dataclasses.replace(search, is_stuck=True)


def inverse_hessian_times(pairs, vector) -> np.ndarray:
    """H⁻¹v of the L-BFGS model by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4)."""
    q = np.array(vector, dtype=np.float64)
    alphas = []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q -= alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q *= (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q += (alpha - (y @ q) / (s @ y)) * s
    return q


def inverse_hessian_parts(pairs):
    """`(base, wide, core)` with H⁻¹ = base·I + wide core wideᵀ (Byrd, Nocedal & Schnabel 1994, eq. 3.1)."""
    s = np.stack([pair[0] for pair in pairs], axis=1)
    y = np.stack([pair[1] for pair in pairs], axis=1)
    inner = s.T @ y
    base = inner[-1, -1] / (y[:, -1] @ y[:, -1])
    upper_inverse = np.linalg.inv(np.triu(inner))
    corner = upper_inverse.T @ (np.diag(np.diag(inner)) + base * (y.T @ y)) @ upper_inverse
    zero = np.zeros_like(inner)
    core = np.block([[corner, -upper_inverse.T], [-upper_inverse, zero]])
    return base, np.concatenate([s, base * y], axis=1), core
