"""What an effective draw costs: gradients per effective draw of jittered HMC and of NUTS, from the spectrum alone."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.spectra._modes import Modes
from monochord.spectra._step_size import expected_acceptance, step_size_for
from monochord.spectra._trajectory import best_trajectory, correlations, draws_per_effective

# Two numbers read off 28 Gaussian spectra of 4 to 250 dimensions (κ from 1 to 256; one slow, one fast, two clusters,
# log-uniform), where leapfrogs, x and squares then came out within 1.33, 1.39 and 1.34 of measured NUTS
# (benchmarks/prediction.py prints the comparison): the share of a draw's ideal decorrelation that the unequal weights
# along an orbit leave at acceptance .8, and how many independent looks the checks of a tree are worth.
NUTS_EFFICIENCY = 0.93
TURN_CHECKS = 3
MIN_NUTS_MODES = 7  # below it a U-turn is no sum over many modes: 4 to 6 cost up to 1.6 times less than predicted
MAX_TREE_DEPTH = 14
MAX_SCAN = 20_000  # points in half the slowest period; beyond it a chance root of fast modes may be stepped over
MAX_CHUNK = 2048


class PredictedCost(NamedTuple):
    """Step size and gradients per effective draw of the least favourable direction.

    `draw` is for the direction's coordinate x, `square` for (x − mean)². NaN where the spectrum is indefinite.
    """

    step_size: float
    draw: float
    square: float


def hmc_cost(modes: Modes, target_accept: float) -> PredictedCost:
    """Of jittered HMC with the trajectory of least cost, `best_trajectory`; each correlation is slowed by rejections, and
    effective draws follow as from an AR(1) chain.
    """
    if not modes.is_definite:
        return PredictedCost(math.nan, math.nan, math.nan)
    omega = modes.frequencies()
    length, jitter = best_trajectory(omega, target_accept)
    step = step_size_for(omega, target_accept, length, weights=modes.weights, jitter=jitter)
    accept = expected_acceptance(omega, step, length, modes.weights, jitter=jitter)
    linear, square = correlations(omega, length, jitter)
    steps = max(1.0, length / step)
    return PredictedCost(step, steps * draws_per_effective(linear, accept), steps * draws_per_effective(square, accept))


def nuts_cost(modes: Modes, target_accept: float) -> PredictedCost:
    """Of NUTS with cross-subtree checks.

    A tree of 2ʲ − 1 leapfrogs goes on with the probability of `nuts_tree_law`. Its draw falls in the last half,
    m = 2ʲ⁻¹ε long, and the way there from the start, uniform in the other half, has a triangular law on (0, 2m):
    ρ = cos(ωm) (sin(ωm/2) / (ωm/2))², and for squares ½ + ½ of the same at 2ω. A slow direction that few share is
    invisible to the U-turn (its cost grows like κ), a fast one only shortens the step.
    """
    if not modes.is_definite:
        return PredictedCost(math.nan, math.nan, math.nan)
    omega = modes.frequencies()
    step = step_size_for(omega, target_accept, weights=modes.weights)
    sizes, mass = nuts_tree_law(modes, step)
    half = 0.5 * (sizes + 1) * step * omega[:, None]
    linear = (np.cos(half) * np.sinc(half / (2.0 * np.pi)) ** 2) @ mass
    square = (0.5 + 0.5 * np.cos(2.0 * half) * np.sinc(half / np.pi) ** 2) @ mass
    leapfrogs = float(sizes @ mass)
    return PredictedCost(
        step,
        leapfrogs * draws_per_effective(linear, NUTS_EFFICIENCY),
        leapfrogs * draws_per_effective(square, NUTS_EFFICIENCY),
    )


def nuts_law_holds(modes: Modes) -> bool:
    """Whether `nuts_cost` is to be believed: a definite spectrum of enough modes for its law of large numbers.

    From `MIN_NUTS_MODES` on it was within a factor 1.5 of measured on every spectrum and posterior of
    benchmarks/results/prediction.csv with the verdict "trust".
    """
    return modes.is_definite and float(np.sum(modes.weights)) >= MIN_NUTS_MODES - 0.5


def nuts_tree_law(modes: Modes, step_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Leapfrog counts 2ʲ − 1 of NUTS and their probabilities.

    (x_T − x₀)·p_T has the mean Σ sin(ωᵢT)/ωᵢ over the stationary law (whose first root is `first_u_turn`) and a
    variance that follows mode by mode; as a sum over modes it is close to normal. The tree goes on where neither its
    whole span nor its half (the check between subtrees) has turned, seen from both ends and within both halves:
    together the third power of one check's probability.
    """
    omega, alive = modes.frequencies(), 1.0
    sizes, mass = [], []
    for depth in range(1, MAX_TREE_DEPTH + 1):
        leapfrogs = 2**depth - 1
        spans = (leapfrogs * step_size, 2 ** (depth - 1) * step_size)
        turning = min(_progress_in_deviations(omega, modes.weights, span) for span in spans)
        onward = (0.5 * math.erfc(-turning / math.sqrt(2.0))) ** TURN_CHECKS if depth < MAX_TREE_DEPTH else 0.0
        sizes.append(leapfrogs)
        mass.append(alive * (1.0 - onward))
        alive *= onward
        if alive < 1e-6:
            break
    return np.array(sizes, dtype=float), np.array(mass) / np.sum(mass)


def _progress_in_deviations(omega, weights, span: float) -> float:
    """Mean of (x_T − x₀)·p_T over its standard deviation: a quadratic form in standard normals for each mode."""
    sine, cosine = np.sin(omega * span), np.cos(omega * span)
    own, cross, other = sine * (1.0 - cosine), 0.5 * (cosine**2 - cosine - sine**2), sine * cosine
    variance = weights @ (2.0 * (own**2 + 2.0 * cross**2 + other**2) / omega**2)
    return float(weights @ (sine / omega) / math.sqrt(variance))


def first_u_turn(frequencies: Float[np.ndarray, " modes"], weights: Float[np.ndarray, " modes"] | None = None) -> float:
    """First root T > 0 of Σ sin(ωᵢT)/ωᵢ, where the mean of (x_T − x₀)·p_T turns negative.

    π for equal frequencies. As long as less than 17.8 % of the directions are slow, the bulk's clock rules. Two roots
    closer than π/(8 ω_max) are stepped over.
    """
    omega = np.asarray(frequencies, dtype=np.float64)
    weights = np.ones_like(omega) if weights is None else weights

    def progress(times):
        return np.sin(np.multiply.outer(times, omega)) @ (weights / omega)

    stride = max(math.pi / (8.0 * omega.max()), math.pi / omega.min() / MAX_SCAN)
    first, chunk = 1, 64
    while True:
        turned = np.flatnonzero(progress(stride * np.arange(first, first + chunk)) <= 0)
        if turned.size:
            break
        first, chunk = first + chunk, min(2 * chunk, MAX_CHUNK)
    high = stride * (first + int(turned[0]))
    low = high - stride
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if progress(middle) > 0 else (low, middle)
    return 0.5 * (low + high)
