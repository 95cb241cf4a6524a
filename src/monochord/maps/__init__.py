"""Past what a linear metric can do: smooth bijections in whose coordinates a target is closer to Gaussian."""

from monochord.maps._additive import block_map
from monochord.maps._arrays import map_arrays, map_from_arrays
from monochord.maps._base import AbstractMap
from monochord.maps._block import BlockMap
from monochord.maps._bordered import BorderedMap
from monochord.maps._centred import as_products, centred_parents, spread_as_products
from monochord.maps._cholesky import CholeskyMap
from monochord.maps._cholesky_fit import cholesky_map
from monochord.maps._conditional import ConditionalMap
from monochord.maps._elliptical import radial_map
from monochord.maps._hierarchical import hierarchical_map
from monochord.maps._learn import Parents, couplings, learned_map
from monochord.maps._noded import NodedMap, node_values
from monochord.maps._products import product_map, product_parents
from monochord.maps._radial import RadialMap
from monochord.maps._scaled import ScaledMap
from monochord.maps._slice import SliceTarget
from monochord.maps._tail import TailMap
from monochord.maps._tail_fit import tail_map
from monochord.maps._target import MappedTarget, mapped
from monochord.maps._terms import Term, Terms, found_terms, given_other, with_rest
from monochord.maps._turning import Turning, turning_drivers

__all__ = [
    "AbstractMap",
    "BlockMap",
    "BorderedMap",
    "CholeskyMap",
    "ConditionalMap",
    "MappedTarget",
    "NodedMap",
    "Parents",
    "RadialMap",
    "ScaledMap",
    "SliceTarget",
    "TailMap",
    "Term",
    "Terms",
    "Turning",
    "as_products",
    "block_map",
    "centred_parents",
    "cholesky_map",
    "couplings",
    "found_terms",
    "given_other",
    "hierarchical_map",
    "learned_map",
    "map_arrays",
    "map_from_arrays",
    "mapped",
    "node_values",
    "product_map",
    "product_parents",
    "radial_map",
    "spread_as_products",
    "tail_map",
    "turning_drivers",
    "with_rest",
]
