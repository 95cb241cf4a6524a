"""The way of a fit: ELBO and score residual over gradients."""

from typing import Any

import numpy as np

from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.plot._matplotlib import axes
from monochord.traces import fit_trace_of


def fit(result: Any, *, ax: Any = None) -> Any:
    """ELBO (nats) and score residual of each step with standard errors; an array of two axes.

    `result` is a `FitResult`, or a run of `mc.sample` that kept the way of its fit. `ax` takes two axes.

    **Raises** `OptionError` where no step has an ELBO, `MissingPackage` without matplotlib.
    """
    trace = result.trace if isinstance(result, FitResult) else fit_trace_of(result)
    steps = [info for info in trace if info.elbo is not None and np.isfinite(info.elbo.value)]
    if not steps:
        raise OptionError(
            "this result holds no step of a fit with an ELBO. A fit that was made elsewhere, or none, has no way to show. Pass a "
            "result of `monochord.fit`."
        )
    pair = np.ravel(axes(ax, 2, figsize=(9.0, 3.2)))
    if len(pair) != 2:
        raise OptionError(f"`ax` holds {len(pair)} axes. The ELBO and the residual need one each. Pass two, or none.")
    gradients = [info.gradients for info in steps]
    for one, name, label in zip(pair, ("elbo", "residual"), ("ELBO, nats", "score residual"), strict=True):
        found = [getattr(info, name) for info in steps]
        values = np.array([np.nan if estimate is None else estimate.value for estimate in found])
        errors = np.array([0.0 if estimate is None else np.nan_to_num(estimate.standard_error) for estimate in found])
        one.errorbar(gradients, values, errors, marker=".", linewidth=1, elinewidth=0.8)
        one.set(xlabel="gradients of the fit", ylabel=label)
    if np.nanmin([info.residual.value for info in steps if info.residual is not None] or [0.0]) > 0:
        pair[1].set_yscale("log")
    return pair
