"""For tests of your own: calibrated assertions, law suites for metrics and targets, targets with known truth.

    class TestMyMetric(MetricLaws):
        def metrics(self):
            return [MyMetric(...)]

Nothing here needs pytest; any runner that collects classes named ``Test...`` will do.
"""

from monochord.testing._assertions import assert_mean_close, assert_moments_close
from monochord.testing._metric_laws import MetricLaws
from monochord.testing._ranks import assert_ranks_uniform
from monochord.testing._target_laws import TargetLaws
from monochord.testing._targets import (
    banana_moments,
    banana_target,
    flat_direction_target,
    funnel_moments,
    funnel_target,
    gaussian_target,
    nowhere_finite_target,
)

__all__ = [
    "MetricLaws",
    "TargetLaws",
    "assert_mean_close",
    "assert_moments_close",
    "assert_ranks_uniform",
    "banana_moments",
    "banana_target",
    "flat_direction_target",
    "funnel_moments",
    "funnel_target",
    "gaussian_target",
    "nowhere_finite_target",
]
