"""`Material`: all that a page shows, gathered; what could not be had is there as a sentence."""

import dataclasses
import json
from typing import Any

import numpy as np

from monochord import pipeline
from monochord._arviz import SummaryRow
from monochord.arguments import gaussian_of
from monochord.continuation import GROUP, along_its_map, heaviest_mode, standpoint_of
from monochord.diagnosis import FUNNEL_NOTE
from monochord.errors import MonochordError
from monochord.fits import FitResult, StepInfo
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of
from monochord.orbits import Orbits, orbits
from monochord.sampling import Piece
from monochord.spectra import Spectrum
from monochord.summaries import doubts, is_trustworthy, summary
from monochord.targets import AbstractTarget
from monochord.traces import fit_trace_of, warmup_trace_of

MAX_BACKGROUND = 400  # draws behind a trajectory
NO_MODEL = (
    "This needs the model, and a file holds draws, not densities. Pass it: monochord.report(data, model, …), or "
    "monochord report RUN.nc MODEL.py."
)


@dataclasses.dataclass(frozen=True)
class Material:
    """What is known of a run, of a fit alone, or of both.

    `data` is None for a fit alone. `rows`, `doubts` and `is_trusted` are of its summary. `missing` says for
    "spectrum", "orbits" and "findings" why there is none.
    """

    title: str
    data: Any
    fit: FitResult | None
    attributes: dict[str, Any]
    rows: list[SummaryRow]
    doubts: list[str]
    is_trusted: bool
    spectrum: Spectrum | None
    orbits: Orbits | None
    findings: Any
    fit_trace: tuple[StepInfo, ...]
    warmup_trace: tuple[Piece, ...]
    command: str | None
    missing: dict[str, str]

    @property
    def verdict(self) -> str:
        """The verdict on the fit, as the run's draws leave it."""
        return str(self.attributes.get("verdict", self.fit.verdict if self.fit is not None else "no fit"))

    @property
    def reasons(self) -> list[str]:
        """Sentences behind the verdict."""
        if "reasons" in self.attributes:
            return json.loads(self.attributes["reasons"])
        return list(self.fit.reasons) if self.fit is not None else []

    def value(self, name: str) -> float | None:
        """A number among the attributes, None where it is missing."""
        value = self.attributes.get(name)
        return None if value is None or isinstance(value, str) else float(value)

    @property
    def least_ess(self) -> float | None:
        """The smallest of bulk and tail ESS over quantities that change; None where it is not known."""
        found = [least_ess(row) for row in self.rows if row.sd != 0.0]
        found = [ess for ess in found if np.isfinite(ess)]
        return min(found) if found else None


def least_ess(row: SummaryRow) -> float:
    """The smaller of bulk and tail ESS; NaN where either is."""
    return float(np.minimum(row.ess_bulk, row.ess_tail))


def gather(
    data, fit: FitResult | None, target: AbstractTarget | None, spectrum: Spectrum | None, findings,
    rows: list[SummaryRow] | None, seed: int, title: str, command: str | None,
) -> Material:  # fmt: skip
    """Everything, computed where it was not given and the target is known."""
    missing: dict[str, str] = {}
    there = target  # in the coordinates of the run's or the fit's map, where the metric lives
    if target is not None:
        there = along_its_map(data, target) if data is not None else in_coordinates_of(target, fit)
    gaussian = _gaussian(data, fit, missing, there)
    attributes = dict(data["sample_stats"].attrs) if data is not None else {}
    if there is not None and gaussian is not None and spectrum is None:
        spectrum = _tried(
            "spectrum",
            missing,
            lambda: pipeline.spectrum(there, gaussian, at="fit" if data is None else data, seed=seed),
        )
    paths = None
    if there is not None and gaussian is not None:
        paths = _tried("orbits", missing, lambda: orbits(there, gaussian, _background(data, gaussian, seed, there)))
    if target is not None and findings is None:
        findings = _tried("findings", missing, lambda: pipeline.check(target, seed=seed))
    if target is None:
        missing = {name: NO_MODEL for name in ("spectrum", "orbits", "findings")} | missing
    if rows is None:
        rows = summary(data) if data is not None else []
    material = Material(
        title, data, fit, attributes, rows,
        doubts(data, rows) if data is not None else [], data is not None and is_trustworthy(data, rows),
        spectrum, paths, findings,
        fit.trace if fit is not None and fit.trace else fit_trace_of(data) if data is not None else (),
        warmup_trace_of(data) if data is not None else (), command, missing,
    )  # fmt: skip
    if spectrum is not None and material.verdict == "do not use" and spectrum.is_reliable:
        spectrum = dataclasses.replace(spectrum, is_reliable=False, notes=(FUNNEL_NOTE, *spectrum.notes))
    return dataclasses.replace(material, spectrum=spectrum)


def _gaussian(data, fit: FitResult | None, missing: dict[str, str], there: AbstractTarget | None) -> Gaussian | None:
    """The metric that the run ended with, about the mean of its draws; over modes those of the heaviest; without draws, the fit."""
    if data is not None and GROUP in data.children and "unconstrained_posterior" in data.children:
        x = np.asarray(data["unconstrained_posterior"]["x"].values, np.float64)
        x = there.from_unconstrained(x) if there is not None else x
        return Gaussian(x.mean((0, 1)), standpoint_of(data).tunings[0].metric)
    mode = heaviest_mode(data) if data is not None else None
    if mode is not None:
        return mode
    if fit is not None:
        return _tried("spectrum", missing, lambda: gaussian_of(fit))
    missing["spectrum"] = missing["orbits"] = (
        "This result does not hold the metric that it was made with (group sampler_state). Pass the fit: report(data, model, fit=fit)."
    )
    return None


def _background(data, gaussian: Gaussian, seed: int, there: AbstractTarget) -> np.ndarray:
    if data is None:
        return gaussian.sample(np.random.default_rng(seed), MAX_BACKGROUND)
    x = np.asarray(data["unconstrained_posterior"]["x"].values, np.float64)
    x = there.from_unconstrained(x.reshape(-1, x.shape[-1]))
    return x[np.unique(np.linspace(0, len(x) - 1, MAX_BACKGROUND).astype(int))]


def _tried(name: str, missing: dict[str, str], make):
    """What `make` returns; where it cannot, its sentence is kept and the page goes on without."""
    try:
        return make()
    except MonochordError as error:
        missing[name] = str(error)
        return None
