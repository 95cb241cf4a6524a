"""walnutpie takes a diagonal inverse metric; where ours is more, it gets the whitened density."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import numpy as np

from monochord.arguments import check_belongs
from monochord.errors import MissingPackage
from monochord.export._handover import covariance, handover, text
from monochord.export._whitened import Whitened, unchanged, whitened
from monochord.fits import FitResult
from monochord.targets import AbstractTarget

NOTE = (
    "walnutpie keeps a diagonal inverse metric and the step size when its warm-up has no iterations, as here; with a warm-up it "
    "blends the metric with what it sees (`mass_init_count` pseudo-observations). A dense or low-rank metric it cannot take: the "
    "density is whitened instead."
)


@final
@dataclasses.dataclass(frozen=True)
class WalnutpieExport:
    """`logp` and `arguments` for ``walnutpie.walnuts_pyfunc``; `sample` runs it and maps its draws back."""

    logp: Callable
    density: Whitened
    arguments: dict[str, Any]
    is_whitened: bool
    note: str = NOTE
    caution: str = ""

    def sample(self, **options) -> list[np.ndarray]:
        """Run walnutpie; draws of each chain, unconstrained. **Raises** `MissingPackage` without it."""
        try:
            from walnutpie import walnuts_pyfunc
        except ImportError:
            raise MissingPackage("walnutpie", "WALNUTS") from None
        return [
            self.density.unwhiten(np.asarray(chain))
            for chain in walnuts_pyfunc(self.logp, **{**self.arguments, **options})
        ]

    def __str__(self) -> str:
        rows = [("coordinates", self.density.target.dim), ("density", "whitened" if self.is_whitened else "unchanged")]
        rows.append(("first step", f"{self.arguments['step_size_init']:.4g}"))
        lines = ["draws = export.sample(max_sampling_iter=1000)  # unconstrained, one array a chain"]
        return text("metric for walnutpie", rows, lines, self.note, self.caution)


def to_walnutpie(fit: FitResult, target: AbstractTarget, **options) -> WalnutpieExport:
    """The fit's metric for walnutpie's ``walnuts_pyfunc``, whose ``init_inv_metric`` is the diagonal of Σ.

    A diagonal metric is handed over as that; for others the density is whitened, x = mean + Lz, under a metric of ones, and
    `sample` maps the draws back. WALNUTS chooses its own number of small steps in each large one, so that its step size is an
    upper limit. Works with walnutpie 0.0.3. `options` as in `to_plain`.

    **Raises** `OptionError` for another target than the fit's.
    """
    check_belongs(fit, target)
    given = handover(fit, ("diagonal", "dense", "low_rank"), **options)
    is_whitened = given.form != "diagonal"
    density = whitened(target, given) if is_whitened else unchanged(target)
    arguments: dict[str, Any] = {
        "num_params": target.dim, "num_chains": len(given.initial), "inits": density.whiten(given.initial),
        "init_inv_metric": np.ones(target.dim) if is_whitened else covariance(given.metric),
        "step_size_init": given.step_size, "min_warmup_iter": 0, "max_warmup_iter": 0,
    }  # fmt: skip
    return WalnutpieExport(density.value_and_score, density, arguments, is_whitened, caution=given.caution)
