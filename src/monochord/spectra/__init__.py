"""Is the metric good? Spectrum, step size and verdict."""

from monochord.spectra._frequencies import (
    DENSE_LIMIT,
    condition_number,
    frequencies_against,
    langmore_number,
    squared_frequencies,
)
from monochord.spectra._spectrum import MetricSpectrum, Spectrum, best_diagonal, predicted_cost, spectrum_of
from monochord.spectra._step_size import (
    acceptance_of,
    corrected_step_size,
    mean_energy_error,
    step_size_for,
)
from monochord.spectra._verdict import Verdict, judge

__all__ = [
    "DENSE_LIMIT",
    "MetricSpectrum",
    "Spectrum",
    "Verdict",
    "acceptance_of",
    "best_diagonal",
    "condition_number",
    "corrected_step_size",
    "frequencies_against",
    "judge",
    "langmore_number",
    "mean_energy_error",
    "predicted_cost",
    "spectrum_of",
    "squared_frequencies",
    "step_size_for",
]
