"""Is the metric good? Spectrum, predicted cost, cost functional, step size and verdict."""

from monochord.spectra._cost import (
    PredictedCost,
    first_u_turn,
    hmc_cost,
    nuts_cost,
    nuts_law_holds,
    nuts_tree_law,
)
from monochord.spectra._criterion import cost_functional, energy_scale, frequency_sum
from monochord.spectra._directions import Direction, direction_of
from monochord.spectra._frequencies import (
    DENSE_LIMIT,
    condition_number,
    frequencies_against,
    langmore_number,
    squared_frequencies,
    whitened_hessian,
)
from monochord.spectra._indefinite import MAX_POINTS, indefinite_share, share_of_indefinite
from monochord.spectra._lanczos import lanczos_modes
from monochord.spectra._modes import Modes, dense_modes
from monochord.spectra._spectrum import (
    MetricSpectrum,
    Spectrum,
    best_diagonal,
    row_from_hessians,
    row_from_modes,
)
from monochord.spectra._step_size import (
    acceptance_of,
    corrected_step_size,
    expected_acceptance,
    mean_energy_error,
    step_size_for,
)
from monochord.spectra._text import brief
from monochord.spectra._trajectory import (
    QUARTER_PERIOD,
    WIDE,
    Trajectory,
    best_trajectory,
    correlations,
    draws_per_effective,
)
from monochord.spectra._verdict import (
    MANY_INDEFINITE,
    MIN_GAIN,
    NEGLIGIBLE_MASS,
    TRUST_PARETO_K,
    WIDE_RADIUS,
    Verdict,
    judge,
)

__all__ = [
    "QUARTER_PERIOD",
    "Trajectory",
    "WIDE",
    "best_trajectory",
    "correlations",
    "draws_per_effective",
    "MANY_INDEFINITE",
    "MIN_GAIN",
    "NEGLIGIBLE_MASS",
    "MAX_POINTS",
    "DENSE_LIMIT",
    "Direction",
    "MetricSpectrum",
    "Modes",
    "PredictedCost",
    "Spectrum",
    "TRUST_PARETO_K",
    "WIDE_RADIUS",
    "Verdict",
    "acceptance_of",
    "best_diagonal",
    "brief",
    "condition_number",
    "corrected_step_size",
    "cost_functional",
    "dense_modes",
    "direction_of",
    "energy_scale",
    "expected_acceptance",
    "first_u_turn",
    "frequencies_against",
    "frequency_sum",
    "hmc_cost",
    "indefinite_share",
    "judge",
    "langmore_number",
    "lanczos_modes",
    "mean_energy_error",
    "nuts_cost",
    "nuts_law_holds",
    "nuts_tree_law",
    "row_from_hessians",
    "row_from_modes",
    "share_of_indefinite",
    "squared_frequencies",
    "step_size_for",
    "whitened_hessian",
]
