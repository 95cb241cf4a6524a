"""`SamplerSettings`: what a run of chains was asked for."""

import dataclasses
from collections.abc import Callable

from monochord.gaussian import Gaussian
from monochord.targets import Evaluations

KERNELS = ("nuts", "hmc")
Refine = Callable[[Gaussian, Evaluations], Gaussian]


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """What a run was asked for. `windows` are warm-up windows in iterations a chain, each followed by `refine`;
    `fallback` those of a trusted metric that disappoints.
    """

    num_chains: int
    num_draws: int
    kernel: str
    target_accept: float
    max_tree_depth: int
    windows: tuple[int, ...]
    fallback: tuple[int, ...] = ()
    refine: Refine | None = None
    step_size: float | None = None
    target_ess: float | None = None
