"""How do we find the metric? Fits: one algorithm a file, one driver."""

from monochord.fits._advi import Advi
from monochord.fits._base import AbstractFit, AbstractFitState, FitStatus, Mode, Repairs, Scored, StepInfo
from monochord.fits._batch_match import BatchMatch
from monochord.fits._deterministic import DeterministicAdvi
from monochord.fits._file import load
from monochord.fits._given import Given
from monochord.fits._match import match
from monochord.fits._mode import Laplace
from monochord.fits._natural import NaturalGradient
from monochord.fits._pathfinder import Pathfinder
from monochord.fits._run import MAX_STEPS, Checkpoint, FitResult, run
from monochord.fits._score import coordinate_residuals
from monochord.fits._staged import Staged, default_family
from monochord.fits._structure import MetricChoice

__all__ = [
    "MAX_STEPS",
    "AbstractFit",
    "AbstractFitState",
    "Advi",
    "BatchMatch",
    "Checkpoint",
    "DeterministicAdvi",
    "FitResult",
    "FitStatus",
    "Given",
    "Laplace",
    "MetricChoice",
    "Mode",
    "NaturalGradient",
    "Pathfinder",
    "Repairs",
    "Scored",
    "Staged",
    "StepInfo",
    "coordinate_residuals",
    "default_family",
    "load",
    "match",
    "run",
]
