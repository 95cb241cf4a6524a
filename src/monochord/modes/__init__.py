"""A posterior in several modes: smooth regions that sum to it, and the mass of each with its error."""

from monochord.modes._bridge import Bridge, BridgeRatio, bridge, bridge_ratio, moments_gaussian
from monochord.modes._regions import Regions, RegionTarget, regions_of
from monochord.modes._valley import are_joined
from monochord.modes._weights import Weights, labels, missed, num_mixed, places_of, weights

__all__ = [
    "Bridge",
    "BridgeRatio",
    "RegionTarget",
    "Regions",
    "are_joined",
    "Weights",
    "bridge",
    "bridge_ratio",
    "labels",
    "missed",
    "moments_gaussian",
    "num_mixed",
    "places_of",
    "regions_of",
    "weights",
]
