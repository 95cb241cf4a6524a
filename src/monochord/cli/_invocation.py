"""The command line as it was given, for results that say how they were made."""

import shlex
import sys

_given: list[str] = []


def remember(arguments: list[str] | None) -> None:
    """Keep the arguments of this call; None for those of the process."""
    _given[:] = sys.argv[1:] if arguments is None else [str(argument) for argument in arguments]


def command(seed: int | None = None) -> str:
    """The command that repeats this call, with the seed that it drew."""
    stated = any(argument == "--seed" or argument.startswith("--seed=") for argument in _given)
    return shlex.join(["monochord", *_given, *([] if stated or seed is None else ["--seed", str(seed)])])
