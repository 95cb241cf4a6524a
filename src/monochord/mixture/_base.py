"""What a run over modes is asked for, what one mode's run is, and why there may be none."""

import dataclasses

import numpy as np

from monochord.cost import Cost
from monochord.fits import FitResult, Mode
from monochord.gaussian import Gaussian
from monochord.modes import Bridge
from monochord.plan import SampleOptions
from monochord.sampling import STOPPED, Draws
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget


class GivenUp(Exception):
    """Why there are no chains by mode; `cost` is what finding out has spent."""

    def __init__(self, why: str, cost: Cost = Cost()):  # noqa: B008
        super().__init__(why)
        self.cost = cost


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a run over modes is asked for."""

    options: SampleOptions
    seed: int
    looks_for_map: bool
    metric_name: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class ModeRun:
    """One mode: its part of the posterior (along a map where one was learned), its fit, and its draws."""

    mode: Mode
    target: AbstractTarget
    fit: FitResult
    drawn: Draws
    bridge: Bridge | None = None

    @property
    def gradients(self) -> int:
        """Spent on this mode, the bridge included."""
        bridged = self.bridge.num_proposals if self.bridge is not None else 0
        return self.fit.cost.gradients + self.drawn.gradients_warmup + self.drawn.gradients_sampling + bridged


def kept_modes(fit: FitResult | None) -> list[Mode]:
    """The modes of a fit that have more than a thousandth of the mass by their ELBOs."""
    return [mode for mode in fit.modes if mode.share > NEGLIGIBLE_MASS] if fit is not None else []


def gaussian_at(mode: Mode, known: FitResult) -> Gaussian:
    """The Gaussian at a mode; of older files the metric of the fit there."""
    assert known.gaussian is not None
    return Gaussian(np.asarray(mode.mean, np.float64), mode.metric or known.gaussian.metric)


def is_cut_short(runs: list[ModeRun]) -> bool:
    """Whether somebody or the model ended a run before its time."""
    return any(run.drawn.status == "interrupted" or run.drawn.status.startswith(STOPPED) for run in runs)
