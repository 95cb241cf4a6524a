"""`Given`: a Gaussian from elsewhere, measured as every fit is."""

import dataclasses
from typing import final

import numpy as np

from monochord.arrays import Key, host_generator
from monochord.cost import Cost
from monochord.fits._base import AbstractFit, AbstractFitState, FitStatus, Repairs, StepInfo
from monochord.fits._stages import CHECK_PAIRS, check
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget


@final
class Given(AbstractFit):
    """No fit at all: `gaussian` (unconstrained space) gets the closing check, and with it evidence and a verdict.

    For a Gaussian made by hand, and for a fit that is used on another target than its own.
    """

    gaussian: Gaussian

    def init(self, key: Key, target: AbstractTarget, initial=None) -> AbstractFitState:
        """A state whose next step is the closing check. **Raises** `ValueError` for a Gaussian of another dimension."""
        if self.gaussian.dim != target.dim:
            raise ValueError(
                f"`Given` has a Gaussian of {self.gaussian.dim} coordinates, but the target has {target.dim}. "
                "It must describe all unconstrained coordinates. Fit this target instead."
            )
        gaussian = Gaussian(np.asarray(self.gaussian.mean, np.float64), self.gaussian.metric)
        return AbstractFitState("check", 0, FitStatus.given, Cost(), Repairs(), gaussian, None, None, 0)

    def step(self, key: Key, target: AbstractTarget, state: AbstractFitState) -> tuple[AbstractFitState, StepInfo]:
        state = check(host_generator(key), target, state, CHECK_PAIRS)
        state = dataclasses.replace(state, num_steps=state.num_steps + 1)
        best = state.best
        found = (best.elbo, best.residual) if best is not None else (None, None)
        return state, StepInfo("check", state.num_steps, state.cost.gradients, *found)
