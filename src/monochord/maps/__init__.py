"""Past what a linear metric can do: smooth bijections in whose coordinates a target is closer to Gaussian."""

from monochord.maps._conditional import ConditionalMap, map_arrays, map_from_arrays
from monochord.maps._learn import Parents, couplings, learned_map
from monochord.maps._target import MappedTarget, mapped

__all__ = [
    "ConditionalMap",
    "MappedTarget",
    "Parents",
    "couplings",
    "learned_map",
    "map_arrays",
    "map_from_arrays",
    "mapped",
]
