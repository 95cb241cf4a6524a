"""Textbook hierarchies as a beginner writes them: centred, with scales that the data hardly tell.

The data are few on purpose, so that scales near 0 have mass: that is where centred forms have a neck.
"""

from benchmarks.naive import fields, groups
from benchmarks.naive._parts import MODELS, Naive

__all__ = ["MODELS", "Naive", "fields", "groups"]
