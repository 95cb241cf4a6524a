"""When to leave linear metrics for a map, and which."""

from monochord.mapping._judge import in_coordinates_of, is_better, wants_blocks, wants_map, wants_radius, wants_tails
from monochord.mapping._search import with_map

__all__ = ["in_coordinates_of", "is_better", "wants_blocks", "wants_map", "wants_radius", "wants_tails", "with_map"]
