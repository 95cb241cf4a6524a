"""The way of the fit: its ELBO with errors, and the residual, over the gradients spent."""

import math
from collections.abc import Sequence

import numpy as np

from monochord.fits import StepInfo
from monochord.reports._svg import Canvas, figure, span_of
from monochord.spectra import brief

ROUNDING = 1e-12
SHOWN = 4.0  # of the interquartile range below the median of the ELBOs: the first ones may be far down


def fit_figures(trace: Sequence[StepInfo]) -> str:
    """ELBO ± error and score residual; a sentence where no step has either."""
    steps = [info for info in trace if info.elbo is not None and math.isfinite(info.elbo.value)]
    if not steps:
        return "<p>The fit kept no step with an ELBO, so that there is no way to show.</p>"
    gradients = np.array([info.gradients for info in steps], np.float64)
    return _elbo(steps, gradients) + _residual(steps, gradients)


def _elbo(steps, gradients) -> str:
    values = np.array([info.elbo.value for info in steps])
    errors = np.nan_to_num(np.array([info.elbo.standard_error for info in steps]))
    low, median = np.quantile(values, [0.25, 0.5])
    floor = median - SHOWN * max(float(np.quantile(values, 0.75) - low), 2.0 * float(np.median(errors)), 1e-12)
    kept = values >= floor
    canvas = Canvas(span_of(gradients), span_of(np.concatenate([(values - errors)[kept], (values + errors)[kept]])))
    canvas.axes("gradients of the fit", "ELBO, nats")
    canvas.error_bars(gradients[kept], (values - errors)[kept], (values + errors)[kept], "c0 thin")
    canvas.line(gradients[kept], values[kept], "c0 thin")
    canvas.dots(gradients[kept], values[kept], "c0")
    lost = int((~kept).sum())
    last = brief(steps[-1].elbo)
    caption = f"Evidence lower bound after each step, with its standard error; at the end {last}."
    if lost:
        caption += f" Early steps below the frame: {lost}."
    return figure("The fit's ELBO", canvas.render(f"ELBO over {len(steps)} steps, ending at {last}."), caption)


def _residual(steps, gradients) -> str:
    values = np.array([info.residual.value if info.residual is not None else np.nan for info in steps])
    errors = np.array([info.residual.standard_error if info.residual is not None else np.nan for info in steps])
    if np.nanmax(values) < ROUNDING:
        return "<p>The fit's score residual is zero to rounding: the log density is quadratic.</p>"
    low = np.maximum(values - np.nan_to_num(errors), values / 3.0)
    canvas = Canvas(span_of(gradients), span_of(np.concatenate([low, values]), is_log=True), log_y=True)
    canvas.axes("gradients of the fit", "score residual")
    canvas.error_bars(gradients, low, values + np.nan_to_num(errors), "c0 thin")
    canvas.line(gradients, values, "c0 thin")
    canvas.dots(gradients, values, "c0")
    last = brief(steps[-1].residual)
    return figure(
        "The fit's score residual",
        canvas.render(f"Score residual over {len(steps)} steps, ending at {last}."),
        f"Share of the score that the Gaussian leaves unexplained: 0 for a Gaussian posterior; at the end {last}.",
    )
