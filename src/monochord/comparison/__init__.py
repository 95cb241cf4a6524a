"""The founding claims tested on a target at hand: identity, diagonal and variational start side by side."""

from monochord.comparison._compare import DRAWS, compare
from monochord.comparison._matplotlib import check_matplotlib
from monochord.comparison._result import COLUMNS, METRICS, Comparison, Outcome, Row
from monochord.comparison._table import interrupted

__all__ = ["COLUMNS", "DRAWS", "METRICS", "Comparison", "Outcome", "Row", "check_matplotlib", "compare", "interrupted"]
