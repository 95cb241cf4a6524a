"""Chains for each separate mode, each with a fit and a metric of its own, put together by estimated weights.

The posterior is cut into regions that sum to it (`monochord.modes`); the fit, the map, the verdict, warm-up, kernels and stopping
rules are those of any target. No chain has to cross between modes, and no covariance is pooled over them.
"""

from monochord.mixture._base import Asked, GivenUp, OneMode, kept_modes, possible_modes
from monochord.mixture._run import sampled_by_modes

__all__ = ["Asked", "GivenUp", "OneMode", "kept_modes", "possible_modes", "sampled_by_modes"]
