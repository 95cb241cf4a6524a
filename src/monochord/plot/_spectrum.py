"""The spectrum before and after, a row of strokes a metric."""

from typing import Any

import numpy as np

from monochord.plot._matplotlib import axes
from monochord.spectra import Spectrum, brief


def spectrum(figures: Spectrum, *, ax: Any = None) -> Any:
    """Frequencies ω under each metric on one logarithmic axis; the axes.

    `figures` is a result of `mc.spectrum`. Squared frequencies that are not positive have no place here. Above 1,000
    coordinates the strokes are Ritz values: the outermost are modes, those between stand for many.

    **Raises** `MissingPackage` without matplotlib.
    """
    ax = axes(ax, figsize=(7.0, 0.9 * len(figures.rows) + 1.2))
    for place, row in enumerate(figures.table):
        found = np.sqrt(row.squared_frequencies[row.squared_frequencies > 0])
        ax.vlines(found, place - 0.3, place + 0.3, color=f"C{place}")
    bounds = ["≥ " if row.is_lower_bound else "" for row in figures.table]
    labels = [f"{row.metric}\nκ = {bound}{brief(row.kappa)}" for row, bound in zip(figures.table, bounds, strict=True)]
    ax.set(xscale="log", xlabel="frequency ω", ylim=(len(labels) - 0.5, -0.5), title=f"spectrum, {figures.where}")
    ax.set_yticks(range(len(labels)), labels)
    return ax
