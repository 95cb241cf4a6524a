"""Checks of the options of public calls: one sentence each for what, why and how to mend it."""

import math
import os

from monochord.errors import OptionError


def check_count(name: str, value, low: int, high: int) -> int:
    """`value` as int, between `low` and `high`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise OptionError(f"`{name}={value!r}` is not a whole number. It counts something. Pass an int.")
    value = int(value)
    if not low <= value <= high:
        raise OptionError(
            f"`{name}={value}` is out of range. It must lie between {low} and {high:,}. Pass a value in it."
        )
    return value


def check_choice(name: str, value, choices) -> None:
    """`value` must be one of `choices`."""
    if not any(value is choice or value == choice for choice in choices):
        known = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise OptionError(f"`{name}={value!r}` is not known. Choose one of {known}.")


def check_fraction(name: str, value) -> None:
    """Strictly between 0 and 1."""
    if not isinstance(value, (int, float)) or not 0.0 < float(value) < 1.0:
        raise OptionError(f"`{name}={value}` is not a probability strictly between 0 and 1. Pass one, such as 0.8.")


def check_positive(name: str, value) -> None:
    """Finite and above zero."""
    if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise OptionError(f"`{name}={value}` is not a positive number. Pass one, or leave it out.")


def check_no_path(verb: str, value) -> None:
    """A result itself is wanted, where its path was given."""
    if isinstance(value, (str, os.PathLike)):
        raise OptionError(
            f"`{verb}` was given the path `{os.fspath(value)}`, and it takes a result that is open. Pass `monochord.open_store(path)` "
            "for a store, or `xarray.open_datatree(path, engine='h5netcdf')` for a netCDF file."
        )
