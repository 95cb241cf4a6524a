"""Moments of problems without a closed form, from long runs of another program (`python -m benchmarks.references`)."""

import dataclasses
import json
from pathlib import Path

from ._problem import Moment, Problem

FOLDER = Path(__file__).parent / "references"


def with_stored_moments(problem: Problem) -> Problem:
    """`problem` with the stored moments and their source, if it has none of its own and a file exists."""
    path = FOLDER / f"{problem.name.removesuffix('_noncentred')}.json"
    if problem.reference is not None or not path.exists():
        return problem
    record = json.loads(path.read_text())
    reference = {name: Moment(**entry) for name, entry in record["params"].items()}
    return dataclasses.replace(problem, reference=reference, reference_source=record["source"])
