"""`Spectrum`: the frequencies under several metrics, before and after, with standard errors."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from monochord.estimate import Estimate
from monochord.metrics import AbstractMetric, DiagonalMetric
from monochord.spectra._cost import hmc_cost, nuts_cost, nuts_law_holds
from monochord.spectra._directions import Direction, direction_of
from monochord.spectra._frequencies import whitened_hessian
from monochord.spectra._modes import Modes, dense_modes

STABILITY = 2.0
FIGURES = (
    "kappa", "kappa_langmore", "omega_min", "omega_max", "period", "step_limit", "step_size",
    "gradients_per_effective_draw", "gradients_per_effective_square", "gradients_per_effective_draw_nuts",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class MetricSpectrum:
    """One row: the frequencies of LᵀHL, H the potential's Hessian averaged over points.

    `omega_min`, `omega_max` are radians a unit of the leapfrog's time, `period` is 2π/ω_min, `step_limit` is 2/ω_max,
    beyond which the leapfrog is unstable, `step_size` the closed form for the wanted acceptance of jittered HMC.
    `gradients_per_effective_draw` and `gradients_per_effective_square` are predictions for the least favourable
    direction's x and (x − mean)² under jittered HMC of the best mean length (`best_trajectory`);
    `gradients_per_effective_draw_nuts` is NUTS's for x, NaN where its law does not hold (few coordinates).
    `criterion` is the cost functional C(M) on points that have left the fit (None where none were made), and
    `indefinite_share` the share of points whose own Hessian has a negative eigenvalue (the same for every metric).

    `squared_frequencies` with `mode_weights` is the spectrum itself: all of it, or above the dense limit Ritz values;
    `error_low` and `error_high` then bound how far ω²min and ω²max may be from an eigenvalue, over ω²max. `slowest`
    and `fastest` name the directions behind the two ends.
    """

    metric: str
    kappa: Estimate
    kappa_langmore: Estimate
    omega_min: Estimate
    omega_max: Estimate
    period: Estimate
    step_limit: Estimate
    step_size: Estimate
    gradients_per_effective_draw: Estimate
    gradients_per_effective_square: Estimate
    gradients_per_effective_draw_nuts: Estimate
    indefinite_share: Estimate
    criterion: Estimate | None
    slowest: Direction | None
    fastest: Direction | None
    squared_frequencies: Float[np.ndarray, " nodes"]
    mode_weights: Float[np.ndarray, " nodes"]
    error_low: float = 0.0
    error_high: float = 0.0

    @property
    def is_lower_bound(self) -> bool:
        """True where κ is only known to be at least its value: Lanczos has not reached the slowest direction."""
        low, high = self.squared_frequencies[0], self.squared_frequencies[-1]
        return bool(self.error_low * high > 0.01 * abs(low))


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Rows by metric name ("identity", "diagonal", "fitted", and others at hand), where they were taken, their cost.

    `where` is a phrase such as "averaged over 16 draws of the fit". `notes` are sentences about what the figures
    cannot see; `is_reliable` is False where predictions must not be used (verdict "do not use").
    """

    rows: Mapping[str, MetricSpectrum]
    target_accept: float
    gradients: int
    where: str = "averaged over draws of the fit"
    is_reliable: bool = True
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> list[MetricSpectrum]:
        """One row for each metric."""
        return list(self.rows.values())

    def __getitem__(self, name: str) -> MetricSpectrum:
        return self.rows[name]

    def __str__(self) -> str:
        from monochord.spectra._text import spectrum_text

        return spectrum_text(self)


def best_diagonal(metric: AbstractMetric) -> DiagonalMetric:
    """Diagonal metric for a Gaussian of covariance Σ: scale⁴ = Σ_ii / (Σ⁻¹)_ii.

    The Fisher-divergence optimum, never far from the best diagonal (Seyboldt, Carlson & Carpenter 2026,
    arXiv 2603.18845).
    """
    return DiagonalMetric((np.asarray(metric.diagonal()) / np.asarray(metric.precision_diagonal())) ** 0.25)


def row_from_hessians(
    name: str,
    metric: AbstractMetric,
    hessians: Float[np.ndarray, "points dim dim"],
    names: tuple[str, ...],
    target_accept: float,
    share: Estimate,
    criterion: Estimate | None = None,
) -> MetricSpectrum:
    """Row of one metric against the mean of `hessians`; standard errors by the jackknife over points."""
    modes = dense_modes(whitened_hessian(metric, hessians.mean(0)), with_vectors=True)
    figures = _jackknife(
        lambda mean: _figures(dense_modes(whitened_hessian(metric, mean)), target_accept),
        modes,
        hessians,
        target_accept,
    )
    return _row(name, metric, modes, figures, names, share, criterion)


def row_from_modes(
    name: str,
    metric: AbstractMetric,
    modes: Modes,
    ends: tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]],
    names: tuple[str, ...],
    target_accept: float,
    share: Estimate,
    criterion: Estimate | None = None,
) -> MetricSpectrum:
    """Row of one metric from Lanczos's modes.

    `ends` are vᵀAᵢv of the lowest and highest Ritz vector at each point: their spread gives the standard errors of
    the two ends to first order, and of what follows from them; those of sums over all modes are not known (NaN).
    """
    count = len(ends[0])
    low, high = modes.squared[0], modes.squared[-1]
    se_low, se_high = (float(np.std(end, ddof=1) / np.sqrt(count)) if count > 1 else math.nan for end in ends)
    values = _figures(modes, target_accept)
    relative = {"low": se_low / abs(low), "high": se_high / abs(high)}
    both = math.hypot(relative["low"], relative["high"])
    scale = [both, math.nan, relative["low"] / 2, relative["high"] / 2, relative["low"] / 2, relative["high"] / 2]
    errors = [abs(v) * s for v, s in zip(values, [*scale, *[math.nan] * 4], strict=True)]
    figures = [Estimate(float(v), float(e), count) for v, e in zip(values, errors, strict=True)]
    return _row(name, metric, modes, figures, names, share, criterion)


def _row(name, metric, modes: Modes, figures, names, share, criterion) -> MetricSpectrum:
    return MetricSpectrum(
        metric=name, indefinite_share=share, criterion=criterion,
        slowest=direction_of(metric, modes.low, names), fastest=direction_of(metric, modes.high, names),
        squared_frequencies=modes.squared, mode_weights=modes.weights,
        error_low=modes.error_low, error_high=modes.error_high,
        **dict(zip(FIGURES, figures, strict=True)),
    )  # fmt: skip


def _figures(modes: Modes, target_accept: float) -> np.ndarray:
    """The values of `FIGURES`, in their order."""
    low, high = (math.sqrt(max(value, 0.0)) for value in (modes.squared[0], modes.squared[-1]))
    limit = STABILITY / high if high > 0 else math.inf
    period = 2.0 * math.pi / low if low > 0 else math.inf
    hmc = hmc_cost(modes, target_accept)
    nuts = nuts_cost(modes, target_accept).draw if nuts_law_holds(modes) else math.nan
    langmore = modes.kappa_langmore()
    return np.array([modes.kappa(), langmore, low, high, period, limit, hmc.step_size, hmc.draw, hmc.square, nuts])


def _jackknife(statistic: Callable, modes: Modes, samples: np.ndarray, target_accept: float) -> list[Estimate]:
    count, value = len(samples), _figures(modes, target_accept)
    if count < 2:
        return [Estimate(float(v), math.nan, count) for v in value]
    total = samples.sum(0)
    left_out = np.array([statistic((total - sample) / (count - 1)) for sample in samples])
    with np.errstate(invalid="ignore"):
        error = np.sqrt((count - 1) * np.mean((left_out - left_out.mean(0)) ** 2, axis=0))
    return [Estimate(float(v), float(e), count) for v, e in zip(value, error, strict=True)]
