"""Fails: not Python."""


def model(:  # this line
    pass
