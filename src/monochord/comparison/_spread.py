"""The spread of the spectrum: κ and κ_L of M⁻¹H, H the potential's Hessian averaged over posterior points."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from monochord.errors import ModelError
from monochord.metrics import AbstractMetric
from monochord.spectra import (
    DENSE_LIMIT,
    condition_number,
    lanczos_modes,
    langmore_number,
    squared_frequencies,
)
from monochord.targets import AbstractTarget, hessians

LANCZOS_POINTS = 4  # each product then costs 8 gradients


class Spread(NamedTuple):
    """Frequencies in radians a unit of the leapfrog's time; κ is infinite and `omega_min` 0 where the average is indefinite."""

    kappa: float
    kappa_langmore: float
    omega_min: float
    omega_max: float

    @property
    def step_limit(self) -> float:
        """2/ω_max."""
        return 2.0 / self.omega_max if self.omega_max > 0 else np.inf


def spreads(
    target: AbstractTarget,
    metrics: Mapping[str, AbstractMetric],
    points: Float[np.ndarray, "n dim"],
    rng: np.random.Generator,
) -> tuple[dict[str, Spread], int]:
    """Of each metric, and the gradients spent: 2 · n · dim up to `DENSE_LIMIT` coordinates, above it Lanczos's at
    `LANCZOS_POINTS` points, whose κ is then a lower bound.

    **Raises** `ModelError` where the Hessian is finite at none of the points.
    """
    if target.dim > DENSE_LIMIT:
        found, spent = {}, 0
        for name, metric in metrics.items():
            modes, more = lanczos_modes(target, metric, points[:LANCZOS_POINTS], rng)
            found[name], spent = _spread(modes.squared, modes.kappa(), modes.kappa_langmore()), spent + more
        return found, spent
    curvatures = hessians(target, points)
    finite = np.all(np.isfinite(curvatures), axis=(1, 2))
    if not finite.any():
        raise ModelError(
            "the Hessian is finite at none of the points. Second derivatives are needed here. Check `mc.check(target)`."
        )
    mean = curvatures[finite].mean(0)
    squared = {name: squared_frequencies(metric, mean) for name, metric in metrics.items()}
    rows = {
        name: _spread(values, condition_number(values), langmore_number(values)) for name, values in squared.items()
    }
    return rows, 2 * len(points) * target.dim


def _spread(squared: np.ndarray, kappa: float, langmore: float) -> Spread:
    low, high = (float(np.sqrt(max(value, 0.0))) for value in (squared[0], squared[-1]))
    return Spread(float(kappa), float(langmore), low, high)
