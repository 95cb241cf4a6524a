"""What a run over modes is asked for, what one mode's run is, and why there may be none."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from monochord.cost import Cost
from monochord.fits import FitResult, Mode
from monochord.gaussian import Gaussian
from monochord.modes import Bridge
from monochord.plan import SampleOptions
from monochord.sampling import STOPPED, Draws
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget

GUESSED = 4.1  # nats a coordinate: KL of a scale that is a hundred times too small, log 100 − ½


class GivenUp(Exception):
    """Why there are no chains by mode; `cost` is what finding out has spent, `modes` what is known of them since."""

    def __init__(self, why: str, cost: Cost = Cost(), modes: Sequence[Mode] = ()):  # noqa: B008
        super().__init__(why)
        self.cost, self.modes = cost, tuple(modes)


class OneMode(GivenUp):
    """Looked at more closely, one mode holds all the mass."""


class Unseen(GivenUp):
    """Chains do not see all that is theirs; `modes` are what they have seen."""


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
    """One mode: its part of the posterior (along a map where one was learned), its fit, and its draws. `index` is that of its region."""

    index: int
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


def possible_modes(fit: FitResult | None) -> list[Mode]:
    """Those, and modes whose Gaussian describes them too badly for their ELBO to rule them out."""
    if fit is None or len(fit.modes) < 2:
        return []
    return [mode for mode in fit.modes if mode.share > NEGLIGIBLE_MASS or may_matter(mode, fit.modes, len(fit.names))]


def may_matter(mode: Mode, modes: Sequence[Mode], dim: int) -> bool:
    """Whether a mode may hold more than `NEGLIGIBLE_MASS`, as far as its ELBO and score residual tell.

    The ELBO lies KL(q ‖ p) below the mode's log mass. In one coordinate, between N(0, 1) and N(0, s²), that is below 2R for s up to 10 and below √R for
    s < 1, with R = (1 − s⁻²)² the score residual; 2·min(R, √R) a coordinate is taken for the most, and what scales of a guess hide where there is no R.
    """
    gap = max(other.elbo.value for other in modes) - mode.elbo.value
    residual = max(mode.residual.value, 0.0) if mode.residual is not None else None
    hidden = 2.0 * min(residual, residual**0.5) if residual is not None else GUESSED
    return bool(gap - dim * hidden - 3.0 * mode.elbo.standard_error < -np.log(NEGLIGIBLE_MASS))


def gaussian_at(mode: Mode, known: FitResult) -> Gaussian:
    """The Gaussian at a mode; of older files the metric of the fit there."""
    assert known.gaussian is not None
    return Gaussian(np.asarray(mode.mean, np.float64), mode.metric or known.gaussian.metric)


def is_cut_short(runs: list[ModeRun]) -> bool:
    """Whether somebody or the model ended a run before its time."""
    return any(run.drawn.status == "interrupted" or run.drawn.status.startswith(STOPPED) for run in runs)
