"""The only file that imports ArviZ: ESS, R̂, Pareto k̂ on plain arrays, and the DataTree."""

import numpy as np


def pareto_shape(log_ratios: np.ndarray) -> float:
    """Pareto shape k̂ of importance ratios exp(`log_ratios`), shape ``(draws,)``."""
    from arviz_stats.base import array_stats

    _, shape = array_stats.psislw(-np.asarray(log_ratios)[None, :], axis=-1)
    return float(np.ravel(shape)[0])
