"""walnutpie gets the whitened density under a metric of ones, and its draws come back unconstrained."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import numpy as np

from monochord.errors import MissingPackage
from monochord.export._handover import along_map, handover, text
from monochord.export._whitened import Whitened, whitened
from monochord.fits import FitResult
from monochord.targets import AbstractTarget

NOTE = (
    "walnutpie takes a diagonal at most and blends it with what its warm-up sees, so the density itself is whitened, which nothing "
    "can drop; without a warm-up, as here, it keeps the step size too."
)


@final
@dataclasses.dataclass(frozen=True)
class WalnutpieExport:
    """`logp` and `arguments` for ``walnutpie.walnuts_pyfunc``, in whitened coordinates; `sample` runs it and maps back."""

    logp: Callable
    density: Whitened
    arguments: dict[str, Any]
    note: str = NOTE
    caution: str = ""

    def sample(self, **options) -> list[np.ndarray]:
        """Run walnutpie; draws of each chain, unconstrained. **Raises** `MissingPackage` without it."""
        try:
            from walnutpie import walnuts_pyfunc
        except ImportError:
            raise MissingPackage("walnutpie", "WALNUTS", extra="walnutpie") from None
        chains = walnuts_pyfunc(self.logp, **{**self.arguments, **options})
        return [self.density.unwhiten(np.asarray(chain)) for chain in chains]

    def __str__(self) -> str:
        rows = [("coordinates", self.density.target.dim), ("step size", f"{self.arguments['step_size_init']:.4g}")]
        lines = ["draws = export.sample(max_sampling_iter=1000)  # unconstrained, one array a chain"]
        return text("whitened density for walnutpie", rows, lines, self.note, self.caution)


def to_walnutpie(fit: FitResult, target: AbstractTarget, **options) -> WalnutpieExport:
    """The target for walnutpie's ``walnuts_pyfunc`` in the coordinates that the fit whitens, x = mean + Lz; any form, and any map.

    Its own ``init_inv_metric`` stays at ones, which has two reasons: it holds no more than a diagonal, and walnutpie 0.0.3
    reads it as its inverse (on independent normals with scales 10⁻² to 10² variances take 1.6 leapfrogs a draw, of chains
    that are stuck, and precisions 2.6, of chains that move). WALNUTS chooses its own number of small steps in each large one,
    so that its step size is an upper limit. Works with walnutpie 0.0.3. `options` as in `to_plain`.

    **Raises** `OptionError` for another target than the fit's.
    """
    target = along_map(target, fit)
    given = handover(fit, ("diagonal", "dense", "low_rank"), takes_density=True, **options)
    density = whitened(target, given)
    arguments: dict[str, Any] = {
        "num_params": target.dim, "num_chains": len(given.initial), "inits": density.whiten(given.initial),
        "init_inv_metric": np.ones(target.dim), "step_size_init": given.step_size, "min_warmup_iter": 0, "max_warmup_iter": 0,
    }  # fmt: skip
    return WalnutpieExport(density.value_and_score, density, arguments, caution=given.caution)
