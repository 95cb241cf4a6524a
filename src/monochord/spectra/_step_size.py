"""The step size for a wanted acceptance, in closed form from the frequencies.

For a Gaussian target the leapfrog's energy error after L steps has the stationary mean
μ(ε) = Σ sin²(Lθᵢ) hᵢ⁴ / (32 (1 − hᵢ²/4)), with hᵢ = ε ωᵢ and cos θᵢ = 1 − hᵢ²/2, and the acceptance is
2Φ(−√(μ/2)) for many modes. With the average ½ for sin² this is Langmore, Dikovsky, Geraedts, Norgaard
& von Behren (2019), made exact in h; they give its leading order.
"""

import math

import numpy as np
from jaxtyping import Float

from monochord.spectra._trajectory import WIDE

STABILITY_LIMIT = 2.0  # of h = ε ω: beyond it the leapfrog grows without bound
MAX_COUNTS = 64


def hmc_step_counts(step_size: float, trajectory_length: float, jitter: float = WIDE) -> tuple[np.ndarray, np.ndarray]:
    """Possible leapfrog counts and their probabilities for a length uniform on 1 ± `jitter` of the mean."""
    mean = trajectory_length / step_size
    low, high = (1.0 - jitter) * mean, (1.0 + jitter) * mean
    counts = np.arange(max(1, math.floor(low)), max(1, math.ceil(high + 0.5)) + 1)
    edges_low = np.where(counts == 1, -np.inf, counts - 0.5)
    mass = np.clip(np.minimum(counts + 0.5, high) - np.maximum(edges_low, low), 0.0, None)
    mass = mass / (high - low)
    return counts, mass / mass.sum()


def mean_energy_error(
    frequencies: Float[np.ndarray, " modes"],
    step_size: float,
    trajectory_length: float | None,
    weights: Float[np.ndarray, " modes"] | None = None,
    jitter: float = WIDE,
) -> float:
    """Mean energy error μ(ε) in nats; infinite where a mode is unstable.

    With a `trajectory_length` sin² is averaged over the jitter's own law of step counts. With None (NUTS)
    it is ½: on whitened Gaussians of 2 to 250 dimensions NUTS's acceptance statistic then follows the law
    to ±.015 (benchmarks/nuts_acceptance.py). `weights` say how many modes each frequency stands for.
    """
    size = _sizes(frequencies, step_size)
    if size is None:
        return math.inf
    weights = np.ones_like(size) if weights is None else weights
    if trajectory_length is None or trajectory_length > MAX_COUNTS * step_size:  # covers many turns of all that counts
        return float(0.5 * size @ weights)
    counts, mass = hmc_step_counts(step_size, trajectory_length, jitter)
    return float(mass @ (_turns(frequencies, step_size, counts) @ (size * weights)))


def expected_acceptance(
    frequencies: Float[np.ndarray, " modes"],
    step_size: float,
    trajectory_length: float | None,
    weights: Float[np.ndarray, " modes"] | None = None,
    inflation: float = 1.0,
    jitter: float = WIDE,
) -> float:
    """Mean acceptance at a step size: of jittered HMC averaged over its step counts, or of NUTS (length None).

    One mode with mean energy error μ accepts 1 − (2/π) arctan √(μ/2), exactly; many modes 2Φ(−√(μ/2)). Between
    the two the law is mixed by Σμᵢ² / (Σμᵢ)², the reciprocal of the number of modes that matter. `inflation`
    multiplies μ for curvature that varies over the posterior.
    """
    size = _sizes(frequencies, step_size)
    if size is None:
        return 0.0
    if trajectory_length is None:
        return acceptance_of(inflation * mean_energy_error(frequencies, step_size, None, weights))
    weights = np.ones_like(size) if weights is None else weights
    counts, mass = _typical_counts(step_size, trajectory_length, jitter)
    errors = inflation * size * _turns(frequencies, step_size, counts)
    total = errors @ weights
    few = np.divide((errors**2) @ weights, total**2, out=np.zeros_like(total), where=total > 0)
    many = np.array([acceptance_of(value) for value in total])
    one = 1.0 - (2.0 / math.pi) * np.arctan(np.sqrt(0.5 * total))
    return float(mass @ (few * one + (1.0 - few) * many))


def acceptance_of(energy_error: float) -> float:
    """Mean acceptance of many modes together at a mean energy error: 2Φ(−√(μ/2))."""
    return math.erfc(math.sqrt(max(energy_error, 0.0)) / 2.0)


def _sizes(frequencies, step_size: float) -> np.ndarray | None:
    """h⁴ / (32 (1 − h²/4)) of each mode; None where one is unstable."""
    h = step_size * np.asarray(frequencies, dtype=np.float64)
    return h**4 / (32.0 * (1.0 - h**2 / 4.0)) if np.all(h < STABILITY_LIMIT) else None


def _turns(frequencies, step_size: float, counts: np.ndarray) -> np.ndarray:
    """sin²(Lθ) for each count L and mode."""
    h = step_size * np.asarray(frequencies, dtype=np.float64)
    return np.sin(np.outer(counts, np.arccos(1.0 - h**2 / 2.0))) ** 2


def _typical_counts(step_size: float, trajectory_length: float, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Step counts and probabilities; of very many, `MAX_COUNTS` points of a golden-ratio sequence, which no mode's
    period can fall in step with.
    """
    if trajectory_length <= MAX_COUNTS * step_size:
        return hmc_step_counts(step_size, trajectory_length, jitter)
    spread = 1.0 - jitter + 2.0 * jitter * ((np.arange(1, MAX_COUNTS + 1) * 0.6180339887498949) % 1.0)
    return spread * trajectory_length / step_size, np.full(MAX_COUNTS, 1.0 / MAX_COUNTS)


def step_size_for(
    frequencies: Float[np.ndarray, " modes"],
    target_accept: float,
    trajectory_length: float | None = None,
    inflation: float = 1.0,
    weights: Float[np.ndarray, " modes"] | None = None,
    jitter: float = WIDE,
) -> float:
    """Step size at which the law gives `target_accept`.

    `frequencies` are the square roots of the eigenvalues of Σ times the Hessian; `inflation` multiplies
    μ for curvature that varies over the posterior. Bisection on a grid start, since with integer step
    counts the law is not quite monotone: the smallest crossing is taken.
    """
    frequencies = np.asarray(frequencies, dtype=np.float64)
    limit = STABILITY_LIMIT / float(frequencies.max())

    def short(step):
        return expected_acceptance(frequencies, step, trajectory_length, weights, inflation, jitter) < target_accept

    grid = limit * np.geomspace(1e-3, 0.999, 200)
    crossing = next((i for i, step in enumerate(grid) if short(step)), len(grid) - 1)
    low, high = (grid[crossing - 1] if crossing else 0.0), grid[crossing]
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if short(middle) else (middle, high)
    return 0.5 * (low + high)


def corrected_step_size(step_size: float, acceptance: float, target_accept: float) -> float:
    """Step size moved so that a measured acceptance would become the wanted one, as μ grows like ε⁴.

    At most a factor 4 down or 2 up at a time.
    """
    measured = _energy_error_of(min(max(acceptance, 1e-3), 0.999))
    factor = (_energy_error_of(target_accept) / measured) ** 0.25
    return step_size * min(2.0, max(0.25, factor))


def _energy_error_of(acceptance: float) -> float:
    from statistics import NormalDist

    return 2.0 * NormalDist().inv_cdf(1.0 - acceptance / 2.0) ** 2
