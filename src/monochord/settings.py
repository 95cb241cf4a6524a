"""Checks of the options of public calls: one sentence each for what, why and how to mend it."""

import math


def check_count(name: str, value, low: int, high: int) -> int:
    """`value` as int, between `low` and `high`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}={value!r}` is not a whole number. It counts something. Pass an int.")
    value = int(value)
    if not low <= value <= high:
        raise ValueError(
            f"`{name}={value}` is out of range. It must lie between {low} and {high:,}. Pass a value in it."
        )
    return value


def check_choice(name: str, value, choices) -> None:
    """`value` must be one of `choices`."""
    if not any(value is choice or value == choice for choice in choices):
        known = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise ValueError(f"`{name}={value!r}` is not known. Choose one of {known}.")


def check_fraction(name: str, value) -> None:
    """Strictly between 0 and 1."""
    if not 0.0 < float(value) < 1.0:
        raise ValueError(f"`{name}={value}` is not a probability strictly between 0 and 1. Pass one, such as 0.8.")


def check_positive(name: str, value) -> None:
    """Finite and above zero."""
    if not (math.isfinite(float(value)) and float(value) > 0):
        raise ValueError(f"`{name}={value}` is not a positive number. Pass one, or leave it out.")
