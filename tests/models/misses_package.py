"""Fails: it imports a package that is not installed."""

import monochord_no_such_package  # noqa: F401  # this line
