"""Use it: chains of NUTS or jittered-length HMC under a metric."""

from monochord.sampling._chains import SamplingInfo, Segment
from monochord.sampling._probes import moved_points
from monochord.sampling._run import Draws, run_chains
from monochord.sampling._settings import KERNELS, SamplerSettings
from monochord.sampling._warmup import Tuning, WarmUp, closed_form_tuning

__all__ = [
    "KERNELS",
    "Draws",
    "SamplerSettings",
    "SamplingInfo",
    "Segment",
    "Tuning",
    "WarmUp",
    "closed_form_tuning",
    "moved_points",
    "run_chains",
]
