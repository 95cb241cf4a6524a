"""Errors a caller can act on. Each message says what is wrong, why, and how to mend it."""


class MonochordError(Exception):
    """Base of all errors that Monochord raises on purpose."""


class ModelError(MonochordError, ValueError):
    """The model cannot be sampled as it stands: wrong shape, type or support, or it raised."""


class OptionError(MonochordError, ValueError):
    """An argument or option is out of range or unknown."""


class DataError(MonochordError, ValueError):
    """The data do not fit the model, or the file that holds them cannot be read."""


class OutputError(MonochordError, OSError):
    """A result cannot be written where it was asked for; whatever stood there is untouched."""


class LostProcess(MonochordError, RuntimeError):
    """Another process of a run that several share does not answer any more."""


class MissingPackage(MonochordError, ImportError):
    """An optional package is needed and absent."""

    def __init__(self, package: str, needed_for: str, extra: str | None = None):
        requirement = f"monochord[{extra}]" if extra else package
        self.package = package
        super().__init__(
            f"{needed_for} needs the package `{package}`, which is not installed. "
            f"Install it with: pip install '{requirement}'"
        )
