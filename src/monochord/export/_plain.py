"""A metric for any program: one JSON file and the same in NPZ, described in SCHEMA.md."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, final

import numpy as np

from monochord.archive import archive_bytes
from monochord.export._handover import Handover, covariance, handover, text
from monochord.files import write_folder
from monochord.fits import FitResult
from monochord.metrics import metric_arrays

FORMAT, VERSION = "monochord-metric", 1
CONVENTION = (
    "Unconstrained coordinates, in the order of names. inverse_mass_matrix is the covariance of the posterior, the inverse of the "
    "mass matrix; its diagonal where the form is diagonal. step_size is that of a leapfrog under it."
)
NOTE = "Whether a program keeps the metric is its own affair: turn its metric and step size adaptation off."


@final
@dataclasses.dataclass(frozen=True)
class PlainExport:
    """Everything a receiver needs as named arrays: `arrays` and the JSON-able `head` together are the document."""

    head: dict[str, Any]
    arrays: dict[str, np.ndarray]
    note: str = NOTE
    caution: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """Head and arrays in one, arrays as nested lists."""
        return self.head | {name: array.tolist() for name, array in self.arrays.items()}

    def write(self, folder: str | os.PathLike, force: bool = False) -> list[Path]:
        """Write metric.json and metric.npz into `folder`. **Raises** `OutputError` where a file exists, without `force`."""
        return write_folder(folder, {"metric.json": json_bytes(self.document), "metric.npz": self.npz()}, force)

    def npz(self) -> bytes:
        """The NPZ file's content: the arrays, and the head as its member metric.json."""
        return archive_bytes("metric.json", self.head, self.arrays)

    def __str__(self) -> str:
        rows = [
            ("coordinates", self.head["dim"]),
            ("form", self.head["form"]),
            ("step size", f"{self.head['step_size']:.4g}"),
        ]
        lines = ['numpy.load("metric.npz")["inverse_mass_matrix"], or any JSON reader on metric.json']
        return text("metric for any program", rows, lines, self.note, self.caution)


def to_plain(fit: FitResult, **options) -> PlainExport:
    """The fit's metric, mean, starts and step size for a program that Monochord does not know.

    `options` are those of every export: `form` ("auto", "diagonal", "dense", "low_rank"), `chains` (4), `seed` (0, for the
    starts), `target_accept` and `step_size` (closed form where left out), `initial` (shape (chains, dim), unconstrained).

    **Raises** `OptionError` for options out of range, `ModelError` for a fit that ran away.
    """
    return plain(handover(fit, ("diagonal", "dense", "low_rank"), **options), fit)


def plain(given: Handover, fit: FitResult) -> PlainExport:
    """The document of a handover."""
    arrays = {"mean": np.asarray(given.gaussian.mean), "initial": given.initial}
    if given.form == "low_rank":
        arrays |= metric_arrays(given.metric)[1]
    else:
        arrays["inverse_mass_matrix"] = covariance(given.metric)
    head = {
        "format": FORMAT, "version": VERSION, "names": list(given.names), "dim": len(given.names), "form": given.form,
        "step_size": given.step_size, "verdict": fit.verdict, "convention": CONVENTION,
    }  # fmt: skip
    return PlainExport(head, arrays, caution=given.caution)


def json_bytes(document: Any) -> bytes:
    """Strict JSON in UTF-8, numbers with all their digits."""
    return (json.dumps(document, allow_nan=False, indent=1, ensure_ascii=False) + "\n").encode()
