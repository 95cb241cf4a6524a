"""A density along a line, looked at from as far as it goes and as near as it is wide."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

NUM_PLACES = 21
MAX_LOOKS = 7  # each twice as far or much nearer
FEWEST_PLACES = 4  # at which the density is a tenth of the largest, or more
DEEP = 12.0  # nats below the largest density, to where a first look goes: what lies beyond has a mass of 1e-5
SOUND = 10.0  # nats, to where all must be sound: some draw in 20,000 lies beyond
NEAR = 7.0  # nats: what lies beyond has a mass of 1e-3; on it one looks more closely

Look = Callable[[np.ndarray], tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]]


def seen_along(
    look: Look, middle: float, reach: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]] | None:
    """Places and the density there, over the largest; None where it goes on beyond what is sound, or without end.

    `look` gives log densities at places, and whether they are to be trusted. The first look goes `reach` to either side of `middle`.
    """
    low, high = middle - reach, middle + reach
    is_deep, found = False, None  # once it is, one only looks more closely
    for _ in range(MAX_LOOKS):
        places = np.linspace(low, high, NUM_PLACES)
        density, is_sound = look(places)
        density = np.where(np.isfinite(density) & is_sound, density, -np.inf)
        if not np.any(np.isfinite(density)):
            return None
        fall = np.max(density) - density
        deep, near = (_window(fall < nats) for nats in (DEEP, NEAR))
        is_deep = is_deep or (deep[0] >= 0 and deep[1] < NUM_PLACES)
        ends = _ends_soundly(fall, is_sound) and _ends_soundly(fall[::-1], is_sound[::-1])
        weight, far = np.exp(-fall), (high - low) / 2.0
        if not is_deep:
            following = low - far * (deep[0] < 0), high + far * (deep[1] == NUM_PLACES)
        else:
            found = (places[weight > 0.0], weight[weight > 0.0]) if ends else None
            first, last = near if ends else deep
            following = places[max(first, 0)], places[min(last, NUM_PLACES - 1)]
        if following == (low, high) or (found is not None and np.sum(weight > 0.1) >= FEWEST_PLACES):
            break
        low, high = following
    return found


def _window(counts: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """From the last place before any that counts to the first behind."""
    first, last = np.flatnonzero(counts)[[0, -1]]
    return int(first) - 1, int(last) + 1


def _ends_soundly(fall: Float[np.ndarray, " n"], is_sound: Bool[np.ndarray, " n"]) -> bool:
    """Whether a density has fallen by `SOUND` at the last place before the first that is not sound, seen from its largest on."""
    best = int(np.argmin(fall))
    out = np.flatnonzero(~is_sound[best:])
    return not len(out) or bool(fall[best + out[0] - 1] >= SOUND)


def moments(values: np.ndarray, weight: Float[np.ndarray, " n"]):
    """Means and standard deviations of weighted rows."""
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
