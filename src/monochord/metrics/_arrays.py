"""A metric as named arrays and back, for stores and files; nothing is pickled."""

from collections.abc import Mapping

import numpy as np

from monochord.metrics._base import AbstractMetric
from monochord.metrics._dense import DenseMetric
from monochord.metrics._diagonal import DiagonalMetric
from monochord.metrics._low_rank import LowRankMetric

FIELDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "diagonal": (DiagonalMetric, ("scale",)),
    "dense": (DenseMetric, ("factor", "inverse_factor")),
    "low_rank": (LowRankMetric, ("scale", "basis", "eigenvalues")),
}


def metric_arrays(metric: AbstractMetric) -> tuple[str, dict[str, np.ndarray]]:
    """The metric's kind ("diagonal", "dense" or "low_rank") and its arrays by name, float64.

    **Raises** `TypeError` for a metric of another class.
    """
    for kind, (cls, fields) in FIELDS.items():
        if isinstance(metric, cls):
            return kind, {name: np.asarray(getattr(metric, name), np.float64) for name in fields}
    raise TypeError(
        f"a {type(metric).__name__} has no stored form. Only {', '.join(FIELDS)} have one. Use `DenseMetric.from_covariance`."
    )


def metric_from_arrays(kind: str, arrays: Mapping[str, np.ndarray]) -> AbstractMetric:
    """The metric of `metric_arrays`, bit for bit.

    **Raises** `ValueError` for an unknown kind.
    """
    if kind not in FIELDS:
        raise ValueError(f"a metric of kind {kind!r} is not known. It must be one of {', '.join(FIELDS)}.")
    cls, fields = FIELDS[kind]
    return cls(*(np.asarray(arrays[name], np.float64) for name in fields))
