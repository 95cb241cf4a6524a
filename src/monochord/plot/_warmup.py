"""Warm-up: step size and acceptance over its iterations."""

from typing import Any

import numpy as np

from monochord.errors import OptionError
from monochord.plot._matplotlib import axes
from monochord.traces import warmup_trace_of


def warmup(data: Any, *, ax: Any = None) -> Any:
    """Step size (first chain, whitened time) and mean acceptance of each piece of warm-up; an array of two axes.

    `data` is a run of `mc.sample`. Dotted lines mark where the metric was refined. `ax` takes two axes.

    **Raises** `OptionError` for a run that kept no way of its warm-up, `MissingPackage` without matplotlib.
    """
    trace = warmup_trace_of(data)
    if not trace:
        raise OptionError(
            "this result holds no group `warmup_trace`. It comes from an older version, or from another program. Sample anew."
        )
    pair = np.ravel(axes(ax, 2, figsize=(9.0, 3.2)))
    if len(pair) != 2:
        raise OptionError(f"`ax` holds {len(pair)} axes. Step size and acceptance need one each. Pass two, or none.")
    iterations = [piece.iterations for piece in trace]
    pair[0].plot(iterations, [piece.step_size for piece in trace], marker=".")
    pair[0].set(xlabel="iterations of warm-up", ylabel="step size")
    pair[1].plot(iterations, [piece.acceptance for piece in trace], marker=".")
    pair[1].set(xlabel="iterations of warm-up", ylabel="mean acceptance", ylim=(0.0, 1.0))
    for before, after in zip(trace, trace[1:], strict=False):
        if after.num_refinements > before.num_refinements:
            for one in pair:
                one.axvline(before.iterations, color="0.6", linestyle=":")
    return pair
