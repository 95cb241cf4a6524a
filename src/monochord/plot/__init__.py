"""Plots with matplotlib, in ArviZ's manner: each takes `ax=None` and returns the axes it drew on.

    mc.plot.spectrum(mc.spectrum(target, fit))
    mc.plot.fit(fit)
    mc.plot.warmup(data)
    mc.plot.trajectory(target, fit)

Matplotlib is needed only when one of them is called: ``pip install 'monochord[plot]'``.
"""

from monochord.plot._fit import fit
from monochord.plot._spectrum import spectrum
from monochord.plot._trajectory import trajectory
from monochord.plot._warmup import warmup

__all__ = ["fit", "spectrum", "trajectory", "warmup"]
