"""What do we precondition with? Metrics: a posterior covariance Σ = L Lᵀ as an operator."""

from monochord.metrics._arrays import metric_arrays, metric_from_arrays
from monochord.metrics._base import AbstractFamily, AbstractMetric
from monochord.metrics._dense import Dense, DenseMetric
from monochord.metrics._diagonal import Diagonal, DiagonalMetric, identity_metric
from monochord.metrics._geodesic import geodesic
from monochord.metrics._low_rank import LowRank, LowRankMetric

__all__ = [
    "AbstractFamily",
    "AbstractMetric",
    "Dense",
    "DenseMetric",
    "Diagonal",
    "DiagonalMetric",
    "LowRank",
    "LowRankMetric",
    "geodesic",
    "identity_metric",
    "metric_arrays",
    "metric_from_arrays",
]
