"""What a store holds and under which names: the quantities kept, thinning, block length, and the format's version."""

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monochord.errors import OptionError
from monochord.settings import check_count

FORMAT = 1
UNCONSTRAINED = "unconstrained_posterior"
BLOCK_SECONDS = 2.0  # of work that a killed process loses at most, where a block may be so short
BLOCK_BYTES = 64 * 2**20  # of unconstrained draws in a block
HELD_NUMBERS = 2**24  # that may be held in memory for looks at ESS and R̂
HELD_DRAWS = 20_000  # of each chain, likewise
HELD_SHARE = 4.0  # times the wanted ESS: never fewer draws, or the ESS could not be seen


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """Where a run is stored and what of it; `origin` is what the command line needs to find the model again.

    **Raises** `OptionError` for an option out of range.
    """

    path: Path
    keep: tuple[str, ...] | None = None
    thin: int = 1
    block: int | None = None
    origin: dict[str, Any] | None = None

    def __post_init__(self):
        check_count("thin", self.thin, 1, 1_000_000)
        if self.block is not None:
            check_count("block", self.block, 1, 10_000_000)

    @property
    def keeps_all(self) -> bool:
        """Whether every draw of every quantity is stored."""
        return self.keep is None and self.thin == 1

    def kept(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are stored.

        **Raises** `OptionError` for a pattern that matches none.
        """
        names = list(names)
        if self.keep is None:
            return names
        for pattern in self.keep:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in [*names, UNCONSTRAINED]):
                raise OptionError(
                    f"`keep` has the pattern {pattern!r}, which matches none of {', '.join(names[:8])}. A misspelt name would lose "
                    "its draws. Correct it, or leave `keep` out to store everything."
                )
        return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.keep)]

    @property
    def keeps_unconstrained(self) -> bool:
        """Whether the unconstrained draws are stored too."""
        return self.keep is None or any(fnmatch.fnmatchcase(UNCONSTRAINED, pattern) for pattern in self.keep)

    def block_length(self, piece: int, num_chains: int, dim: int, seconds_a_draw: float | None) -> int:
        """Draws of each chain in a block: a multiple of `thin`, and of `piece` where it is not stated."""
        if self.block is not None:
            return -(-self.block // self.thin) * self.thin
        unit = math.lcm(piece, self.thin)
        most = BLOCK_BYTES / (8.0 * num_chains * dim * unit)
        wanted = BLOCK_SECONDS / (seconds_a_draw * unit) if seconds_a_draw else most
        return unit * max(1, int(min(most, wanted)))


def options_of_run(root: Path, run: dict[str, Any]) -> StoreOptions:
    """What of a run is stored, from its first record."""
    stored = run["store"]
    return StoreOptions(root, **{**stored, "keep": tuple(stored["keep"]) if stored["keep"] is not None else None})


def most_held(num_chains: int, dim: int, target_ess: float | int | None) -> int:
    """Draws of each chain that may be held in memory for looks."""
    least = max(100, math.ceil(HELD_SHARE * (target_ess or 0.0) / num_chains))
    return max(least, min(HELD_DRAWS, HELD_NUMBERS // (num_chains * dim)))


def checked_keep(keep: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """`keep` as patterns. **Raises** `OptionError` for anything but names."""
    if keep is None:
        return None
    patterns = (keep,) if isinstance(keep, str) else tuple(keep)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise OptionError(
            f"`keep={keep!r}` is no list of names. It chooses what is stored. Pass names or patterns such as 'beta*'."
        )
    return patterns


def event_axes(name: str, ndim: int, stated: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Axes of a quantity's entries: those that the model states, else as ArviZ names them."""
    axes = stated.get(name, ())
    return axes if len(axes) == ndim else tuple(f"{name}_dim_{axis}" for axis in range(ndim))


def plain_labels(values: np.ndarray) -> np.ndarray:
    """Labels along an axis without Python objects, which have no stored form: as text where they are no numbers."""
    if values.dtype.kind != "O":
        return values
    values = np.array(values.tolist())
    return values if values.dtype.kind != "O" else values.astype(str)


def rows_of(x: np.ndarray, first: int, thin: int) -> np.ndarray:
    """The draws that are stored, of those from number `first` on: every `thin`-th, counted from the run's first."""
    return x[:, -first % thin :: thin]
