"""Benchmark problems as pure JAX log densities: `load(name)` and `names()`.

Reference posteriors come from a posteriordb folder outside the repository; simulated
problems are drawn from a fixed seed; real tables come out of installed packages.  Nothing here imports monochord.
"""

from pathlib import Path

from . import _growing, _posteriordb, _simulated, _tables
from ._problem import Moment, Problem
from ._stored import with_stored_moments

__all__ = ["Moment", "Problem", "load", "names"]


def names() -> tuple[str, ...]:
    """Return the names of all problems, reference posteriors first."""
    return (*_posteriordb.BUILDERS, *_tables.BUILDERS, *_simulated.BUILDERS)


def load(name: str, posteriordb: str | Path | None = None) -> Problem:
    """Build the problem called `name`.

    `posteriordb` is the folder of the reference posteriors; without it the environment
    variable MONOCHORD_POSTERIORDB counts, then `../shared/posteriordb`. Beside `names()` there are families of any
    size, such as `spikes@1e+03`.
    """
    if name in _posteriordb.BUILDERS:
        return _posteriordb.load(name, posteriordb)
    twins = {builder.__name__: builder for builder in _simulated.NONCENTRED.values()}
    builders = _simulated.BUILDERS | _tables.BUILDERS | twins
    if _growing.is_growing(name):
        return _growing.build(name)
    if name in builders:
        return with_stored_moments(builders[name]())
    raise ValueError(
        f"`load({name!r})` names no problem. Only the names in `names()` can be built. "
        f"Pass one of: {', '.join(names())}."
    )
