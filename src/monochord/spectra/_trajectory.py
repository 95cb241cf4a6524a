"""How long a trajectory of HMC should be, and how much its length should vary, from the frequencies."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

JITTERS = (0.15, 0.25, 0.35, 0.5)
SHARES = np.geomspace(0.4, 1.0, 16)  # of a quarter of the slowest period
WIDE = 0.5  # covers half a period and more of every direction: right where nothing is known of the spectrum
QUARTER_PERIOD = 0.5 * math.pi


class Trajectory(NamedTuple):
    """Lengths uniform on `length`·(1 ± `jitter`), in time units of the whitened space."""

    length: float
    jitter: float


def best_trajectory(frequencies: Float[np.ndarray, " modes"], target_accept: float, doubt: float = 0.0) -> Trajectory:
    """The mean length and its jitter of least predicted cost, for the worse of x and (x − mean)² of the worst direction.

    A quarter of a period makes a draw of x independent of the last one, and of its square too; twice that turns x round and
    leaves its square as it was. One period for all directions (a whitened target) thus wants lengths close to a quarter of
    it: on 50 dimensions the ESS of squares a gradient is .24 where the jitter of ± 50 % that a wide spectrum needs gives
    .18. `doubt` widens the range of frequencies on either side by that share, as a fit that is not exact leaves them uncertain.
    """
    omega = np.asarray(frequencies, dtype=np.float64)
    low, high = omega.min() * max(1.0 - doubt, 0.1), omega.max() * (1.0 + doubt)
    looked_at = np.unique(np.concatenate([[low, high], np.geomspace(low, high, 24), omega]))
    quarter = QUARTER_PERIOD / omega.min()
    best, least = Trajectory(quarter, WIDE), math.inf
    for jitter in JITTERS:
        for length in quarter * SHARES:
            linear, square = correlations(looked_at, length, jitter)
            cost = length * max(draws_per_effective(linear, target_accept), draws_per_effective(square, target_accept))
            if cost < least:
                best, least = Trajectory(float(length), jitter), cost
    return best


def correlations(
    frequencies: Float[np.ndarray, " modes"], length: float, jitter: float
) -> tuple[Float[np.ndarray, " modes"], Float[np.ndarray, " modes"]]:
    """Autocorrelation of x, E cos(ωT), and of (x − mean)², E cos²(ωT), where every proposal is accepted."""
    phase, width = frequencies * length, frequencies * length * jitter / math.pi
    return np.cos(phase) * np.sinc(width), 0.5 + 0.5 * np.cos(2.0 * phase) * np.sinc(2.0 * width)


def draws_per_effective(correlation: Float[np.ndarray, " modes"], accept: float) -> float:
    """Draws per effective draw of the least favourable direction, with the share 1 − accept of draws staying."""
    slowed = 1.0 - accept * (1.0 - correlation)
    return float(np.max((1.0 + slowed) / (1.0 - slowed)))
