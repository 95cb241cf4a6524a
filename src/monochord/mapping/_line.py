"""A density along a line, looked at from as far as it goes and as near as it is wide."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

NUM_PLACES = 21
MAX_LOOKS = 7  # each twice as far or much nearer
FEWEST_PLACES = 4  # at which the density is a tenth of the largest, or more
DEEP = 12.0  # nats below the largest density: what lies beyond has a mass of 1e-5
NEAR = 7.0  # nats: what lies beyond has a mass of 1e-3; on it one looks more closely

Look = Callable[[np.ndarray], tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]]


def seen_along(
    look: Look, middle: float, reach: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]] | None:
    """Places and the density there, over the largest; None where it goes on beyond what is sound, or without end.

    `look` gives log densities at places, and whether they are to be trusted. The first look goes `reach` to either side of `middle`.
    """
    low, high = middle - reach, middle + reach
    is_deep, places, weight = False, np.zeros(NUM_PLACES), np.zeros(NUM_PLACES)
    for _ in range(MAX_LOOKS):
        places = np.linspace(low, high, NUM_PLACES)
        density, is_sound = look(places)
        density = np.where(np.isfinite(density) & is_sound, density, -np.inf)
        if not np.any(np.isfinite(density)):
            return None
        fall = np.max(density) - density
        first, last = np.flatnonzero(fall < DEEP)[[0, -1]]
        if not np.all(is_sound[max(first - 1, 0) : last + 2]):
            return None
        is_deep = is_deep or (first > 0 and last < NUM_PLACES - 1)  # once: from then on one only looks more closely
        weight = np.exp(-fall)
        if not is_deep:
            far = (high - low) / 2.0
            low, high = low - far * (first == 0), high + far * (last == NUM_PLACES - 1)
        elif np.sum(weight > 0.1) < FEWEST_PLACES:
            near = np.flatnonzero(fall < NEAR)
            low, high = places[max(near[0] - 1, 0)], places[min(near[-1] + 1, NUM_PLACES - 1)]
        else:
            break
    return (places[weight > 0.0], weight[weight > 0.0]) if is_deep else None


def moments(values: np.ndarray, weight: Float[np.ndarray, " n"]):
    """Means and standard deviations of weighted rows."""
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
