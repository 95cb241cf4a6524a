"""AdvancedHMC.jl and Turing.jl: a JSON file and the lines of Julia that use it."""

import dataclasses
import os
from pathlib import Path
from typing import Any, final

from monochord.export._handover import handover, text
from monochord.export._plain import json_bytes, plain
from monochord.files import write_folder
from monochord.fits import FitResult

NOTE = (
    "AdvancedHMC keeps the metric and the step size as long as no adaptor is passed; with `StanHMCAdaptor` it discards the "
    "metric at its first window. Turing's own `NUTS` takes no metric: pass an `externalsampler`."
)
METRICS = {
    "dense": 'DenseEuclideanMetric(reduce(hcat, [Float64.(row) for row in handover["inverse_mass_matrix"]]))',
    "diagonal": 'DiagEuclideanMetric(Float64.(handover["inverse_mass_matrix"]))',
}
JULIA = """\
# Inverse mass matrix (posterior covariance, unconstrained), step size and starts from Monochord; nothing is adapted.
using AdvancedHMC, ForwardDiff, JSON
handover = JSON.parsefile("metric.json")
metric = {metric}
kernel = HMCKernel(Trajectory{{MultinomialTS}}(Leapfrog(handover["step_size"]), GeneralisedNoUTurn()))

# AdvancedHMC, for a log density `target` of the LogDensityProblems interface:
# draws, stats = sample(Hamiltonian(metric, target, ForwardDiff), kernel, Float64.(handover["initial"][1]), 1_000)

# Turing, for a model whose parameters are declared in the order of handover["names"]:
# chain = sample(model, externalsampler(HMCSampler(kernel, metric, NoAdaptation())), 1_000)
"""


@final
@dataclasses.dataclass(frozen=True)
class AdvancedHMCExport:
    """`document` goes to metric.json (the schema of `monochord-metric`), `julia` is the code that reads it."""

    document: dict[str, Any]
    julia: str
    note: str = NOTE
    caution: str = ""

    def write(self, folder: str | os.PathLike, force: bool = False) -> list[Path]:
        """Write metric.json and metric.jl into `folder`. **Raises** `OutputError` where a file exists, without `force`."""
        return write_folder(folder, {"metric.json": json_bytes(self.document), "metric.jl": self.julia.encode()}, force)

    def __str__(self) -> str:
        rows = [("coordinates", self.document["dim"]), ("form", self.document["form"])]
        rows.append(("step size", f"{self.document['step_size']:.4g}"))
        lines = [line for line in self.julia.splitlines() if line and not line.startswith("#")]
        return text("metric for AdvancedHMC.jl and Turing.jl", rows, lines, self.note, self.caution)


def to_advanced_hmc(fit: FitResult, **options) -> AdvancedHMCExport:
    """The fit's metric for AdvancedHMC.jl (0.7 or 0.8) and, through `externalsampler`, for Turing.jl.

    AdvancedHMC's metrics are made from M⁻¹, as ours are. Parameters are in the fit's order: declare them so. `options` as in
    `to_plain`. Julia is not among what tests of this package run: the file is tested as JSON, the code is not run.
    """
    given = handover(fit, ("diagonal", "dense"), **options)
    document = plain(given, fit).document
    return AdvancedHMCExport(document, JULIA.format(metric=METRICS[given.form]), caution=given.caution)
