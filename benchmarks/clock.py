"""A clock that stands still while programs are compiled and modules imported: stages, compiling and imports add up."""

import builtins
import sys
import threading
import time


class _Union:
    """The length of the union of intervals, each told when it ends."""

    def __init__(self):
        self._disjoint: list[tuple[float, float]] = []  # in order
        self._lock = threading.Lock()
        self.total = 0.0

    def add(self, start: float, end: float) -> None:
        with self._lock:
            while self._disjoint and self._disjoint[-1][1] > start:
                first, last = self._disjoint.pop()
                self.total -= last - first
                start, end = min(start, first), max(end, last)
            self._disjoint.append((start, end))
            self.total += end - start

    def within(self, start: float, end: float) -> float:
        """The part of it between two times."""
        with self._lock:
            return sum(max(0.0, min(end, last) - max(start, first)) for first, last in self._disjoint)


class Clock:
    """Wall seconds, with those that JAX spends tracing, lowering and compiling kept apart, and those of imports.

    A traced function reports the ones it calls too, and threads compile side by side: what counts is the union of
    all reported intervals, never their sum. Other compilers are told by `add`.
    """

    def __init__(self):
        self._compiling, self._preparing = _Union(), _Union()
        self._listens = self._watches = False

    def listen(self) -> None:
        """Hear of JAX's compilations from now on (idempotent)."""
        if self._listens:
            return
        import jax.monitoring

        jax.monitoring.register_event_duration_secs_listener(self._hear)
        self._listens = True

    def _hear(self, event: str, duration_secs: float, **_) -> None:
        if event.startswith("/jax/core/compile"):
            self.add(duration_secs)

    def watch_imports(self) -> None:
        """Notice modules that load on first use, by replacing Python's import function (idempotent)."""
        if self._watches:
            return
        plain = builtins.__import__

        def watched(*arguments, **options):
            count, start = len(sys.modules), time.perf_counter()
            try:
                return plain(*arguments, **options)
            finally:
                if len(sys.modules) != count:
                    self._preparing.add(start, time.perf_counter())

        builtins.__import__ = watched
        self._watches = True

    def add(self, seconds: float) -> None:
        """An interval of compiling that ends now."""
        now = time.perf_counter()
        self._compiling.add(now - seconds, now)
        self._preparing.add(now - seconds, now)

    def compiling(self) -> float:
        """Seconds heard of so far in which at least one compilation ran."""
        return self._compiling.total

    def preparing(self) -> float:
        """Seconds so far of compiling, importing or both."""
        return self._preparing.total

    def preparing_within(self, start: float, end: float) -> float:
        """Seconds of it between two readings of `time.perf_counter`, of what has ended by now."""
        return self._preparing.within(start, end)

    def working(self) -> float:
        """Seconds of everything else, from an arbitrary origin."""
        return time.perf_counter() - self._preparing.total


CLOCK = Clock()
