"""What a run has spent, against what it may."""

import math
import time

from monochord.sampling._hosts import agreed


class Budget:
    """Gradients and seconds since it was made, with the limits on both."""

    def __init__(self, max_gradients: float | int = float("inf"), max_seconds: float | int = float("inf")):
        self._clock = time.perf_counter()
        self.max_gradients, self.max_seconds = max_gradients, max_seconds
        self.gradients = 0

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._clock

    def spend(self, gradients: int) -> None:
        """Count `gradients`."""
        self.gradients += gradients

    def is_spent(self, share: float = 1.0) -> bool:
        """Whether `share` of either limit is reached."""
        if self.gradients >= share * self.max_gradients:
            return True
        return math.isfinite(self.max_seconds) and bool(agreed(self.seconds >= share * self.max_seconds))

    def ending(self) -> str:
        """The limit that is reached, in words."""
        return "gradient limit reached" if self.gradients >= self.max_gradients else "time limit reached"
