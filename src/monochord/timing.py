"""Wall seconds spent importing and compiling, so that they are never mistaken for sampling."""

import time

_compile_seconds = 0.0
_num_compiled = 0
_import_seconds = 0.0
_is_listening = False


def import_finished(started: float) -> None:
    """Add the time since `started` (a `perf_counter` reading) to the import seconds."""
    global _import_seconds
    _import_seconds += time.perf_counter() - started


def import_seconds() -> float:
    """Seconds this process spent importing Monochord and what it needs."""
    return _import_seconds


def listen() -> None:
    """Start to add up JAX's tracing, lowering and compile times (idempotent)."""
    global _is_listening
    if _is_listening:
        return
    import jax.monitoring

    jax.monitoring.register_event_duration_secs_listener(_heard)
    _is_listening = True


def _heard(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _compile_seconds, _num_compiled
    if event.startswith("/jax/core/compile"):
        _compile_seconds += duration_secs
        _num_compiled += event.endswith("backend_compile_duration")


def compile_seconds() -> float:
    """Seconds of tracing, lowering and compiling since `listen`, summed over threads."""
    return _compile_seconds


def num_compiled() -> int:
    """Number of programs handed to the compiler (or found in its cache) since `listen`."""
    return _num_compiled
