"""What a run of chains is asked for, what it begins with, and what it runs with."""

import dataclasses
from collections.abc import Callable

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._evidence import Evidence
from monochord.spectra import WIDE
from monochord.targets import Evaluations

KERNELS = ("auto", "nuts", "hmc")
CHAIN_METHODS = ("auto", "threads", "vectorised")  # how chains share the machine
Refine = Callable[[Gaussian, Evaluations, np.ndarray], Gaussian]


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What sampling runs with: a metric, a step size, and for HMC a mean trajectory length and its jitter, a share of it.

    `step_size` and `trajectory_length` are in time units of the whitened space: one period of the
    slowest direction is 2π/ω_min.
    """

    metric: AbstractMetric
    step_size: float
    trajectory_length: float
    jitter: float = WIDE


@dataclasses.dataclass(frozen=True)
class Standpoint:
    """Where a run stands: enough to go on with it bit for bit, given the same target and key."""

    ends: Evaluations
    iteration: int
    kernel: str
    max_tree_depth: int
    tunings: tuple[Tuning, ...]
    groups: tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class Start:
    """Chains that begin in one mode: their points, what is believed of it (`gaussian`), and the first metric."""

    points: Evaluations
    gaussian: Gaussian
    metric: AbstractMetric
    knows_scale: bool = True  # False where `gaussian` is no fit: the step size must be found


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """What a run was asked for.

    `refine(gaussian, points, chains)` moves a Gaussian towards pooled draws and scores (None: the metric stays).
    A trusted metric is refined only where its acceptance disappoints or `contradicted` finds the draws against it.
    `num_draws` is a limit where `target_ess` is set. `max_gradients` and `max_seconds` count from the first start on.
    """

    num_chains: int
    num_draws: int
    kernel: str
    target_accept: float
    max_tree_depth: int
    is_trusted: bool
    residual: float = 1.0
    refine: Refine | None = None
    contradicted: Callable[[Evidence], bool] | None = None
    refused: Callable[[Evidence], bool] | None = None  # whether draws say that no linear metric fits: no pilot then
    raises_accept: bool = False  # towards 1 where chains get stuck
    has_walls: bool = False  # the density is zero in places: transitions diverge there at every step size
    prefers_hmc: bool = False  # with kernel "auto": on evidence that needs no pilot
    allows_pilot: bool = True
    step_size: float | int | None = None
    target_ess: float | int | None = None
    max_gradients: float | int = float("inf")
    max_seconds: float | int = float("inf")
    chain_method: str = "auto"
    piece: int | None = (
        None  # draws of a chain between looks at the limits; None: by the clock, so that a limit ends the run somewhere else each time
    )
