"""How do we find the metric? Fits: one algorithm a file, one driver."""

from monochord.fits._base import AbstractFit, FitStatus, Repairs, Scored, StepInfo
from monochord.fits._match import match
from monochord.fits._run import MAX_STEPS, FitResult, run
from monochord.fits._staged import Staged, default_family

__all__ = [
    "MAX_STEPS",
    "AbstractFit",
    "FitResult",
    "FitStatus",
    "Repairs",
    "Scored",
    "Staged",
    "StepInfo",
    "default_family",
    "match",
    "run",
]
