"""What a fit is: an algorithm with `init` and `step`, and the statuses it can end with."""

import abc
import dataclasses
import enum

import equinox as eqx
import numpy as np

from monochord.arrays import Key
from monochord.cost import Cost
from monochord.estimate import Estimate
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.targets import AbstractTarget, Evaluations


class FitStatus(enum.Enum):
    """How a fit ended. The value is the sentence shown to the user."""

    running = "The fit has not finished."
    converged = "The fit converged: its score residual is small."
    settled = "The fit settled: neither its ELBO nor its score residual improves beyond noise."
    max_steps = "The fit stopped at its step limit and was still changing."
    no_finite_start = "The fit found no start with a finite log density and gradient."
    diverged = "The fit diverged: the density seems unbounded or improper in some direction."
    given = "The Gaussian was given and not fitted."
    interrupted = "The fit was interrupted."


@dataclasses.dataclass(frozen=True)
class Scored:
    """A Gaussian with the evidence for it from draws of its own; `worst` is the largest unexplained share of one
    coordinate's score.
    """

    gaussian: Gaussian
    elbo: Estimate
    residual: Estimate
    worst: float = dataclasses.field(default=0.0, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Mode:
    """A place where starts ended, apart from the others: its centre (unconstrained), the ELBO of a Gaussian there,
    its share of the mass as far as the ELBOs tell, and that Gaussian's metric and score residual (None in files of older versions,
    the residual also where a search ended before it knew any curvature: the metric is then a guess).
    """

    mean: np.ndarray
    elbo: Estimate
    share: float = 1.0
    metric: AbstractMetric | None = None
    residual: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class Repairs:
    """Everything that had to be mended on the way, counted."""

    rejected_updates: int = 0
    failed_factorisations: int = 0
    nonfinite_points: int = 0
    dropped_points: int = 0

    def add(self, **counts: int) -> "Repairs":
        """A copy with `counts` added."""
        return dataclasses.replace(self, **{name: getattr(self, name) + n for name, n in counts.items()})


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """One step of a fit, for progress and for the trace."""

    stage: str
    step: int
    gradients: int  # spent so far, all stages
    elbo: Estimate | None
    residual: Estimate | None
    best_log_density: float | None = None


@dataclasses.dataclass(frozen=True)
class AbstractFitState:
    """What the driver reads of a state. `stage` "done" ends the fit; `check` are draws of the final Gaussian,
    and `indefinite` is the share of them whose Hessian is, where that was looked at, `radial` the spread along rays, and
    `gain` C(I)/C(Σ) on moved draws, where many Hessians are indefinite.
    """

    stage: str
    num_steps: int
    status: FitStatus
    cost: Cost
    repairs: Repairs
    current: Gaussian | None
    best: Scored | None
    check: Evaluations | None
    num_stage_steps: int
    indefinite: Estimate | None = dataclasses.field(default=None, kw_only=True)
    radial: Estimate | None = dataclasses.field(default=None, kw_only=True)
    gain: Estimate | None = dataclasses.field(default=None, kw_only=True)

    @property
    def gaussian(self) -> Gaussian:
        """The current Gaussian, in stages that have one."""
        assert self.current is not None, f"stage {self.stage} has no Gaussian yet"
        return self.current

    def mended(self, **counts: int):
        """A copy with `counts` added to the repairs."""
        return dataclasses.replace(self, repairs=self.repairs.add(**counts))


class AbstractFit(eqx.Module):
    """A fit algorithm: pure `init` and `step`; `run` owns the only loop."""

    @abc.abstractmethod
    def init(self, key: Key, target: AbstractTarget, initial=None) -> "AbstractFitState":
        """State before the first step; may spend gradients on starts."""

    @abc.abstractmethod
    def step(self, key: Key, target: AbstractTarget, state) -> tuple["AbstractFitState", StepInfo]:
        """One step: at most one batch of gradients."""
