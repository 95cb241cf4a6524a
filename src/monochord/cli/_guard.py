"""Turns exceptions into one clear message and an exit code."""

import contextlib
import json as json_module
import signal
import sys
import threading
import traceback
from pathlib import Path

import typer

MAX_LINES, FIRST_LINES, MAX_LINE = 22, 6, 800  # of an error: a terminal has 24 lines
INTERRUPTED = "Interrupted before any draw was kept."
REDELIVERY = 0.05  # seconds: by then the callback that lost an interrupt has returned


@contextlib.contextmanager
def guarded(model_path: Path, json: bool):
    """Bad input exits with 2, Ctrl-C with 130, and a bug of ours with 1 and its traceback."""
    try:
        with _interrupts_kept():
            yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        _say(INTERRUPTED, json, 130)
    except SystemExit as error:
        trail = _model_traceback(error, model_path) or ""
        _say(
            f"the model file called exit({error.code}). A model only defines functions. Remove the call.\n{trail}",
            json,
            2,
        )
    except BrokenPipeError:
        raise
    except Exception as error:
        text = _bad_input(error, model_path)
        if text is None:
            traceback.print_exc()
            name = type(error).__name__
            _say(f"internal error: {name}: {error}. This is a bug in Monochord; please report it.", json, 1)
        _say(str(text), json, 2)


@contextlib.contextmanager
def _interrupts_kept():
    """Deliver a Ctrl-C again that came while Python could not raise it, as in JAX's callback of the garbage collector.

    Python drops exceptions there, so that the run would go on to its end.
    """
    pending: list[threading.Timer] = []
    before = sys.unraisablehook

    def unraisable(lost):
        if lost.exc_type is KeyboardInterrupt:
            timer = threading.Timer(REDELIVERY, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
            timer.daemon = True
            pending.append(timer)
            timer.start()
        else:
            before(lost)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in pending:
            timer.cancel()


def _say(text: str, json: bool, code: int) -> None:
    text = one_screen(text)
    if json:
        print(json_module.dumps({"error": text, "exit_code": code}))
    print(text if code == 130 else f"error: {text}", file=sys.stderr)
    raise typer.Exit(code)


def one_screen(text: str) -> str:
    """`text` without its middle where it is longer than a screen: the first lines say what, the last ones where."""
    lines = [
        line if len(line) <= MAX_LINE else f"{line[: MAX_LINE // 2]} … {line[-MAX_LINE // 2 :]}"
        for line in text.splitlines()
    ]
    if len(lines) <= MAX_LINES:
        return "\n".join(lines)
    left_out = len(lines) - MAX_LINES + 1
    return "\n".join([*lines[:FIRST_LINES], f"  … {left_out} lines left out …", *lines[FIRST_LINES - MAX_LINES + 1 :]])


def _bad_input(error: Exception, model_path: Path) -> str | None:
    """The message for an error that the user can mend; None for a bug."""
    from monochord.errors import MonochordError

    trail = _model_traceback(error.__cause__ or error, model_path)
    if isinstance(error, MonochordError):
        is_caused = error.__cause__ is not None and trail is not None
        return f"{error}\n{trail}" if is_caused else str(error)
    if trail is not None:
        return f"the model file raised {type(error).__name__}. Nothing can be sampled before it runs. Mend this line.\n{trail}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for this model and its data. Use fewer draws or less data."
    return None


def _model_traceback(error: BaseException, model_path: Path) -> str | None:
    """The traceback through the user's file, ending at its own line; None if it was not involved."""
    path = str(model_path.resolve())
    if isinstance(error, SyntaxError) and error.filename and str(Path(error.filename).resolve()) == path:
        return "".join(traceback.format_exception_only(error)).rstrip()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if str(Path(f.filename).resolve()) == path]
    if not frames:
        return None
    message = str(error).strip().splitlines()
    head = f"{type(error).__name__}: {message[0] if message else ''}"
    return "".join(["Traceback through the model:\n", *traceback.format_list(frames), head])
