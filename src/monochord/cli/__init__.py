"""The `monochord` command: parse, call the public API, print. No mathematics, and nothing heavy imported early.

Exit codes: 0 done; 1 a bug in Monochord; 2 bad input (options, model, data, output path); 3 done and written,
but not to be trusted yet (R̂ above 1.01 or unknown, or the target ESS not reached); 130 interrupted, draws so
far kept.
"""

import contextlib
import os
import sys


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a terminal without Unicode shows ? and goes on
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    sys.stdout = _Patient(sys.stdout)
    from monochord.cli._app import app

    app()


class _Patient:
    """Standard output whose reader may leave: the work goes on, and results are still written."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name):
        return getattr(self._stream, name)
