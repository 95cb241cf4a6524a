"""Fails: the file raises while it is imported."""

WIDTH = 1 / 0  # this line
