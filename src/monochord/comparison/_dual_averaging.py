"""Step sizes by dual averaging and Stan's windows, one chain beside the other, for runs whose every iteration is watched."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

GAMMA, T0, KAPPA = 0.05, 10.0, 0.75  # Hoffman & Gelman (2014), JMLR 15, section 3.2.1; Stan's defaults
FIRST_BUFFER, FIRST_WINDOW, LAST_BUFFER, STAN_WARMUP = 75, 25, 50, 1000  # Stan's defaults (reference manual)


class DualAveraging(NamedTuple):
    """State of all chains: arrays of shape (chains,). `shrink_to` is log of the step that early iterates are pulled to."""

    log_step: Float[np.ndarray, " chains"]
    log_average: Float[np.ndarray, " chains"]
    mean_error: Float[np.ndarray, " chains"]
    shrink_to: Float[np.ndarray, " chains"]
    count: int

    def step_sizes(self) -> Float[np.ndarray, " chains"]:
        """What the next iteration runs with."""
        return np.exp(self.log_step)


def begun(step_sizes: Float[np.ndarray, " chains"], pull: float) -> DualAveraging:
    """Fresh state. `pull` is 10 in Stan, where the first step is a guess, and 1 where it is known."""
    log_step = np.log(step_sizes)
    return DualAveraging(log_step, log_step, np.zeros_like(log_step), log_step + np.log(pull), 0)


def updated(state: DualAveraging, acceptance: Float[np.ndarray, " chains"], target_accept: float) -> DualAveraging:
    """After one iteration whose acceptance statistics are given."""
    count = state.count + 1
    share = 1.0 / (count + T0)
    mean_error = (1.0 - share) * state.mean_error + share * (target_accept - np.nan_to_num(acceptance))
    log_step = state.shrink_to - np.sqrt(count) / GAMMA * mean_error
    weight = count**-KAPPA
    log_average = weight * log_step + (1.0 - weight) * state.log_average
    return DualAveraging(log_step, log_average, mean_error, state.shrink_to, count)


def window_ends() -> list[int]:
    """Iterations at which Stan's warm-up of 1000 learns a metric: 100, 150, 250, 450, 950. A window opens where the one
    before ended, the first after 75.
    """
    ends, start, length = [], FIRST_BUFFER, FIRST_WINDOW
    last = STAN_WARMUP - LAST_BUFFER
    while start < last:
        end = start + length
        end = last if end + 2 * length > last else end
        ends.append(end)
        start, length = end, 2 * length
    return ends


def stan_scales(draws: Float[np.ndarray, "chains n dim"]) -> Float[np.ndarray, "chains dim"]:
    """Scales from the variances of one window, each chain its own, shrunk towards .001 as Stan does."""
    count = draws.shape[1]
    share = count / (count + 5.0)
    return np.sqrt(share * draws.var(axis=1, ddof=1) + 1e-3 * (1.0 - share))
