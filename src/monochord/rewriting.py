"""Which parameters to write without centring, where a fit says that their scale is driven by others."""

import numpy as np

from monochord.fits import FitResult
from monochord.maps import BlockMap, BorderedMap, ConditionalMap, NodedMap
from monochord.targets import AbstractTarget, Hierarchy

DRIVEN_SHARE = 0.2  # of a coordinate's score that no Gaussian explains


def rewrites(target: AbstractTarget, fit: FitResult | None, worst: tuple[str, float] | None = None) -> list[Hierarchy]:
    """Hierarchies of the user's model that the fit found trouble in; empty for a trusted linear fit, or none known.

    Those that its map gives scales to, and those of its worst coordinate (or of `worst`, a name and the unexplained share of its score)
    where a good part of the score is unexplained.
    """
    if fit is None or (fit.verdict == "trust" and fit.map is None):
        return []
    names = set(_children(fit))
    for name, share in filter(None, (_worst(fit), worst)):
        if share > DRIVEN_SHARE:
            names.add(name)
    return [one for one in target.unmapped.hierarchies() if any(_belongs(name, one) for name in names)]


def sentences(found: list[Hierarchy]) -> list[str]:
    """What to write, a sentence with its lines for each."""
    return [
        f"`{one.site}` gets location and scale from {_listed(one.parents)}, and that dependence is what a constant metric cannot follow. "
        "Written without centring it is gone (with much data for each entry, centred is the better form):\n    "
        + "\n    ".join(one.lines)
        for one in found
    ]


def _worst(fit: FitResult) -> tuple[str, float] | None:
    return (fit.worst_coordinate[0], fit.worst_coordinate[1].value) if fit.worst_coordinate is not None else None


def _children(fit: FitResult) -> list[str]:
    if isinstance(fit.map, ConditionalMap):
        return [fit.names[i] for i in np.flatnonzero(np.asarray(fit.map.level))]
    if isinstance(fit.map, BlockMap | BorderedMap | NodedMap):
        return [fit.names[i] for i in fit.map.moved]
    return []


def _belongs(coordinate: str, one: Hierarchy) -> bool:
    """Whether a coordinate, such as `theta[2]` or `tau_log__`, is the site's or a parent's."""
    base = coordinate.partition("[")[0]
    return any(
        base == name or (base.startswith(f"{name}_") and base.endswith("__")) for name in (one.site, *one.parents)
    )


def _listed(names: tuple[str, ...]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
