"""`Spectrum`: the frequencies under several metrics, before and after, with standard errors."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from monochord.estimate import Estimate
from monochord.metrics import AbstractMetric, DiagonalMetric
from monochord.spectra._frequencies import condition_number, langmore_number, squared_frequencies
from monochord.spectra._step_size import acceptance_of, mean_energy_error, step_size_for

STABILITY = 2.0


@dataclasses.dataclass(frozen=True)
class MetricSpectrum:
    """One row: the frequencies of LᵀHL, H the potential's Hessian averaged over draws.

    `step_limit` is 2/ω_max, beyond which the leapfrog is unstable; `step_size` the closed form for the
    wanted acceptance of jittered HMC; both in the time unit in which `omega_min` and `omega_max` are
    radians. `gradients_per_effective_draw` is the prediction for the slowest direction under jittered HMC
    whose mean length is a quarter of its period. `indefinite_share` is the share of draws whose own
    Hessian has a negative eigenvalue (the same for every metric).
    """

    metric: str
    kappa: Estimate
    kappa_langmore: Estimate
    omega_min: Estimate
    omega_max: Estimate
    step_limit: Estimate
    step_size: Estimate
    gradients_per_effective_draw: Estimate
    indefinite_share: Estimate


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Rows by metric name ("identity", "diagonal", "fitted"), and what they cost."""

    rows: Mapping[str, MetricSpectrum]
    target_accept: float
    gradients: int

    @property
    def table(self) -> list[MetricSpectrum]:
        """One row for each metric."""
        return list(self.rows.values())

    def __getitem__(self, name: str) -> MetricSpectrum:
        return self.rows[name]

    def __str__(self) -> str:
        names = [f.name for f in dataclasses.fields(MetricSpectrum)][1:]
        head = ["metric", "κ", "κ_L", "ω min", "ω max", "step limit", "step size", "grad/draw", "indefinite"]
        lines = [head, *([row.metric, *(_short(getattr(row, name)) for name in names)] for row in self.table)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def _short(estimate: Estimate) -> str:
    error = estimate.standard_error
    if not math.isfinite(error) or error == 0:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ± {error:.1g}"


def predicted_cost(squared: Float[np.ndarray, " dim"], target_accept: float) -> tuple[float, float]:
    """(step size, gradients per effective draw of the slowest direction) of jittered HMC.

    Lengths uniform on 0.5–1.5 of a quarter of the slowest period; the autocorrelation of a direction is
    E cos(ωT), slowed by rejections, and effective draws follow from it as from an AR(1) chain. NaN where
    the averaged Hessian is indefinite.
    """
    if np.min(squared) <= 0:
        return math.nan, math.nan
    omega = np.sqrt(squared)
    length = 0.5 * math.pi / omega.min()
    step = step_size_for(omega, target_accept, length)
    accept = acceptance_of(mean_energy_error(omega, step, length))
    phase = omega * length
    correlation = (np.sin(1.5 * phase) - np.sin(0.5 * phase)) / phase
    slowed = 1.0 - accept * (1.0 - correlation)
    steps = max(1.0, length / step)
    return step, float(steps * np.max((1.0 + slowed) / (1.0 - slowed)))


def best_diagonal(metric: AbstractMetric) -> DiagonalMetric:
    """Diagonal metric for a Gaussian of covariance Σ: scale⁴ = Σ_ii / (Σ⁻¹)_ii.

    The Fisher-divergence optimum, never far from the best diagonal (Seyboldt, Carlson & Carpenter 2026,
    arXiv 2603.18845).
    """
    return DiagonalMetric((np.asarray(metric.diagonal()) / np.asarray(metric.precision_diagonal())) ** 0.25)


def spectrum_of(
    metrics: Mapping[str, AbstractMetric],
    hessians: Float[np.ndarray, "draws dim dim"],
    target_accept: float,
    gradients: int,
) -> Spectrum:
    """Spectrum of each metric against the mean of `hessians`; standard errors by the jackknife over draws."""
    indefinite = np.array([np.linalg.eigvalsh(h)[0] < 0 for h in hessians], dtype=float)
    share = Estimate(
        float(indefinite.mean()),
        float(np.sqrt(indefinite.mean() * (1 - indefinite.mean()) / len(hessians))),
        len(hessians),
    )
    rows = {}
    for name, metric in metrics.items():
        figures = _jackknife(lambda mean, metric=metric: _figures(metric, mean, target_accept), hessians)
        rows[name] = MetricSpectrum(name, *figures, share)  # pyright: ignore[reportCallIssue]
    return Spectrum(rows, target_accept, gradients)


def _figures(metric, hessian, target_accept) -> np.ndarray:
    squared = squared_frequencies(metric, hessian)
    low, high = math.sqrt(max(squared[0], 0.0)), math.sqrt(max(squared[-1], 0.0))
    step, cost = predicted_cost(squared, target_accept)
    limit = STABILITY / high if high > 0 else math.inf
    return np.array([condition_number(squared), langmore_number(squared), low, high, limit, step, cost])


def _jackknife(statistic: Callable, samples: np.ndarray) -> list[Estimate]:
    count = len(samples)
    total = samples.sum(0)
    value = statistic(total / count)
    if count < 2:
        return [Estimate(float(v), math.nan, count) for v in value]
    left_out = np.array([statistic((total - sample) / (count - 1)) for sample in samples])
    with np.errstate(invalid="ignore"):
        error = np.sqrt((count - 1) * np.mean((left_out - left_out.mean(0)) ** 2, axis=0))
    return [Estimate(float(v), float(e), count) for v, e in zip(value, error, strict=True)]
