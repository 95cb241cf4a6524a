"""The step size for a wanted acceptance, in closed form from the frequencies.

For a Gaussian target the leapfrog's energy error after L steps has the stationary mean
μ(ε) = Σ sin²(Lθᵢ) hᵢ⁴ / (32 (1 − hᵢ²/4)), with hᵢ = ε ωᵢ and cos θᵢ = 1 − hᵢ²/2, and the acceptance is
2Φ(−√(μ/2)) for many modes. With the average ½ for sin² this is Langmore, Dikovsky, Geraedts, Norgaard
& von Behren (2019), made exact in h; they give its leading order.
"""

import math

import numpy as np
from jaxtyping import Float

STABILITY_LIMIT = 2.0  # of h = ε ω: beyond it the leapfrog grows without bound


def hmc_step_counts(step_size: float, trajectory_length: float) -> tuple[np.ndarray, np.ndarray]:
    """Possible leapfrog counts and their probabilities for a length uniform on 0.5–1.5 of the mean."""
    low, high = 0.5 * trajectory_length / step_size, 1.5 * trajectory_length / step_size
    counts = np.arange(max(1, math.floor(low)), max(1, math.ceil(high + 0.5)) + 1)
    edges_low = np.where(counts == 1, -np.inf, counts - 0.5)
    mass = np.clip(np.minimum(counts + 0.5, high) - np.maximum(edges_low, low), 0.0, None)
    mass = mass / (high - low)
    return counts, mass / mass.sum()


def mean_energy_error(
    frequencies: Float[np.ndarray, " modes"], step_size: float, trajectory_length: float | None
) -> float:
    """Mean energy error μ(ε) in nats; infinite where a mode is unstable.

    With a `trajectory_length` sin² is averaged over the jitter's own law of step counts. With None (NUTS)
    it is ½: on whitened Gaussians of 2 to 250 dimensions NUTS's acceptance statistic then follows the law
    to ±.015 (benchmarks/nuts_acceptance.py).
    """
    h = step_size * np.asarray(frequencies)
    if not np.all(h < STABILITY_LIMIT):
        return math.inf
    size = h**4 / (32.0 * (1.0 - h**2 / 4.0))
    if trajectory_length is None:
        return float(0.5 * size.sum())
    counts, mass = hmc_step_counts(step_size, trajectory_length)
    if len(counts) > 64:  # many steps cover many turns of every mode that counts
        return float(0.5 * size.sum())
    angles = np.arccos(1.0 - h**2 / 2.0)
    return float(mass @ (np.sin(np.outer(counts, angles)) ** 2 @ size))


def acceptance_of(energy_error: float) -> float:
    """Mean acceptance at a mean energy error: 2Φ(−√(μ/2))."""
    return math.erfc(math.sqrt(max(energy_error, 0.0)) / 2.0)


def step_size_for(
    frequencies: Float[np.ndarray, " modes"],
    target_accept: float,
    trajectory_length: float | None = None,
    inflation: float = 1.0,
) -> float:
    """Step size at which the law gives `target_accept`.

    `frequencies` are the square roots of the eigenvalues of Σ times the Hessian; `inflation` multiplies
    μ for curvature that varies over the posterior. Bisection on a grid start, since with integer step
    counts the law is not quite monotone: the smallest crossing is taken.
    """
    frequencies = np.asarray(frequencies, dtype=np.float64)
    limit = STABILITY_LIMIT / float(frequencies.max())

    def short(step):
        return acceptance_of(inflation * mean_energy_error(frequencies, step, trajectory_length)) < target_accept

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
