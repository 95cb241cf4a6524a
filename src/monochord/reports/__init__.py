"""Show it: one self-contained HTML file about a run."""

from monochord.reports._verb import check_place, report

__all__ = ["check_place", "report"]
