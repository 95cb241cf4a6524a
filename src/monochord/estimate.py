"""`Estimate`: a number that never travels without its standard error."""

import math
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A Monte Carlo estimate.

    `standard_error` is in the unit of `value`; `num_draws` counts the independent terms behind it
    (antithetic pairs count once). Prints as ``-3.14 ± 0.05``.
    """

    value: float
    standard_error: float
    num_draws: int

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return str(self.value)
        if not math.isfinite(self.standard_error) or self.standard_error == 0:
            return f"{self.value:.4g}"
        if max(abs(self.value), abs(self.standard_error)) >= 1e10:
            return f"{self.value:.4g} ± {self.standard_error:.1g}"
        if self.standard_error >= 1e4:  # whole numbers would show digits that are noise
            digits = max(
                1, math.floor(math.log10(max(abs(self.value), 1.0))) - math.floor(math.log10(self.standard_error)) + 2
            )
            return f"{self.value:.{digits}g} ± {self.standard_error:.2g}"
        decimals = max(0, 1 - math.floor(math.log10(abs(self.standard_error))))
        return f"{self.value:.{decimals}f} ± {self.standard_error:.{decimals}f}"


def mean_estimate(values) -> Estimate:
    """Mean of independent `values` (shape ``(n,)``) with its standard error.

    Non-finite values make the estimate non-finite: a density that is zero somewhere the draws
    reach has no finite mean, and hiding those draws would say otherwise.
    """
    values = np.asarray(values, dtype=np.float64)
    count = values.size
    with np.errstate(invalid="ignore"):
        mean = float(np.mean(values)) if count else math.nan
        error = float(np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else math.nan
    return Estimate(mean, error, count)
