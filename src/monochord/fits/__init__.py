"""How do we find the metric? Fits: one algorithm a file, one driver."""

from monochord.fits._base import AbstractFit, FitStatus, Repairs, Scored, StepInfo
from monochord.fits._match import match
from monochord.fits._run import FitResult, run
from monochord.fits._staged import Staged, default_family

__all__ = [
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
