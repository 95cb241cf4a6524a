"""Exact moments as `Moment` records, for problems whose truth is a formula."""

import numpy as np

from ._problem import Moment, entry_names

Reference = dict[str, Moment]


def exact_moment(mean: float, variance: float, sd_sq: float | None = None) -> Moment:
    """Return a moment without Monte Carlo error; `mean_sq` follows from the others."""
    mean, variance = float(mean), float(variance)
    return Moment(
        mean=mean,
        sd=variance**0.5,
        mcse_mean=0.0,
        mean_sq=mean**2 + variance,
        mcse_mean_sq=0.0,
        sd_sq=None if sd_sq is None else float(sd_sq),
    )


def gaussian_moments(name: str, mean: np.ndarray, variance: np.ndarray) -> Reference:
    """Return the moments of normal entries: sd(x^2)^2 = 2 s^4 + 4 m^2 s^2."""
    sd_sq = np.sqrt(2 * variance**2 + 4 * mean**2 * variance)
    keys = entry_names(name, mean.shape)
    return {key: exact_moment(*row) for key, row in zip(keys, zip(mean, variance, sd_sq, strict=True), strict=True)}
