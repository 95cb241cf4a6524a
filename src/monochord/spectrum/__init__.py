"""Is the metric good? Spectrum and verdict."""

from monochord.spectrum._verdict import Verdict, judge

__all__ = ["Verdict", "judge"]
