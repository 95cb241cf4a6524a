"""CmdStan and CmdStanPy: metric.json, one file of starts a chain, and the arguments that keep both."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from monochord.arguments import check_belongs
from monochord.export._handover import covariance, handover, order_of, sites_of, text
from monochord.export._plain import json_bytes
from monochord.files import write_folder
from monochord.fits import FitResult
from monochord.targets import AbstractTarget, constrain_draws

NOTE = (
    "CmdStan keeps the metric with `adapt engaged=0`, as here; with adaptation engaged it begins with it and discards it at the "
    "end of the first window."
)
NO_INITS = "Stan wants starts as constrained values, which the fit alone does not know: pass the target for them."


@final
@dataclasses.dataclass(frozen=True)
class CmdStanExport:
    """`inverse_mass_matrix` (Stan's inv_metric: Σ, or its diagonal) in the order of `names`; `metric` "dense_e" or "diag_e".

    `inits` are constrained values by parameter, one mapping a chain; None where no target was given.
    """

    names: tuple[str, ...]
    inverse_mass_matrix: np.ndarray
    inits: tuple[dict[str, Any], ...] | None
    chains: int
    step_size: float
    note: str = NOTE
    caution: str = ""

    @property
    def metric(self) -> str:
        """Stan's name for the form."""
        return "dense_e" if self.inverse_mass_matrix.ndim == 2 else "diag_e"

    @property
    def sample_options(self) -> dict[str, Any]:
        """Arguments of CmdStanPy's ``model.sample`` (1.3 or newer) that use all of this and adapt nothing."""
        options: dict[str, Any] = {
            "chains": self.chains, "metric": self.metric, "inv_metric": self._metric_document(), "step_size": self.step_size,
            "adapt_engaged": False, "iter_warmup": 0,
        }  # fmt: skip
        return options | ({"inits": list(self.inits)} if self.inits is not None else {})

    @property
    def arguments(self) -> str:
        """The command line after the model's name, for files in the folder where it runs."""
        init = (" init=inits.json" if self.chains > 1 else " init=inits_1.json") if self.inits is not None else ""
        several = f" num_chains={self.chains}" if self.chains > 1 else ""
        return (
            f"method=sample{several} num_warmup=0 adapt engaged=0 algorithm=hmc engine=nuts metric={self.metric} "
            f"metric_file=metric.json stepsize={self.step_size!r}{init}"
        )

    def write(self, folder: str | os.PathLike, force: bool = False) -> list[Path]:
        """Write metric.json, inits_1.json … and arguments.txt into `folder`. **Raises** `OutputError` where one exists.

        CmdStan finds inits_1.json to inits_N.json by itself when told ``init=inits.json`` for N chains.
        """
        contents = {"metric.json": json_bytes(self._metric_document())}
        contents |= {f"inits_{i}.json": json_bytes(init) for i, init in enumerate(self.inits or (), 1)}
        return write_folder(folder, contents | {"arguments.txt": (self.arguments + "\n").encode()}, force)

    def _metric_document(self) -> dict[str, Any]:
        return {"inv_metric": self.inverse_mass_matrix.tolist()}

    def __str__(self) -> str:
        rows = [("coordinates", len(self.names)), ("metric", self.metric), ("step size", f"{self.step_size:.4g}")]
        rows.append(("starts", f"{self.chains} files" if self.inits is not None else "none"))
        lines = [
            f"./model {self.arguments} data file=data.json",
            "model.sample(data=data, **export.sample_options)  # CmdStanPy",
        ]
        caution = " ".join(part for part in (self.caution, NO_INITS if self.inits is None else "") if part)
        return text("metric for CmdStan and CmdStanPy", rows, lines, self.note, caution)


def to_cmdstan(
    fit: FitResult, target: AbstractTarget | None = None, *, parameters: Sequence[str] | None = None, **options
) -> CmdStanExport:
    """The fit's metric for CmdStan: Stan's ``inv_metric`` is Σ on Stan's unconstrained coordinates.

    These follow the declarations in the `parameters` block: name them in that order in `parameters` where the fit has
    another. Stan's transforms must be the fit's (log for positive ones is), and Stan lays matrices out by column. `target`, the
    fit's own, gives the starts as constrained values, all quantities that it reports; Stan takes those that it knows.
    `options` as in `to_plain`.

    **Raises** `OptionError` for `parameters` that are not the fit's.
    """
    if target is not None:
        check_belongs(fit, target)
    given = handover(fit, ("diagonal", "dense"), **options)
    order = order_of(given.names, parameters or list(sites_of(given.names)))
    inits = None
    if target is not None:
        values = {name: np.asarray(value, np.float64) for name, value in constrain_draws(target, given.initial).items()}
        inits = tuple({name: value[i].tolist() for name, value in values.items()} for i in range(len(given.initial)))
    names = tuple(given.names[place] for place in order)
    matrix = covariance(given.metric, order)
    return CmdStanExport(names, matrix, inits, len(given.initial), given.step_size, caution=given.caution)
