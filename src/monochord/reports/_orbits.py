"""Two pictures of the same trajectory: what a number of gradients buys without and with the metric."""

import numpy as np

from monochord.orbits import Orbits
from monochord.reports._svg import Canvas, figure, span_of

TITLES = {"identity": "A trajectory with no preconditioning", "fitted": "The same trajectory under the fitted metric"}
KINDS = {"identity": "c1", "fitted": "c0"}
MIN_REACH = 2.5  # sds shown at least
MAX_REACH = 6.0


def orbit_figures(found: Orbits) -> str:
    """Both pictures, on the same axes."""
    return "".join(_picture(found, name) for name in ("identity", "fitted"))


def _picture(found: Orbits, name: str) -> str:
    limits = [_reach([found.draws[:, k], *(path[:, k] for path in found.paths.values())]) for k in (0, 1)]
    canvas = Canvas(limits[0], limits[1], height=300)
    canvas.axes("along the widest direction, sds", "along the narrowest, sds")
    canvas.dots(found.draws[:, 0], found.draws[:, 1], "cloud")
    path = found.paths[name]
    inside = np.all([(path[:, k] > low) & (path[:, k] < high) for k, (low, high) in enumerate(limits)], axis=0)
    end = len(path) if inside.all() else int(np.argmin(inside)) + 1  # a line to where it leaves, clipped by the frame
    path = path[:end]
    x, y = path[:, 0], path[:, 1]
    canvas.line(x, y, KINDS[name])
    canvas.dots(x, y, KINDS[name])
    canvas.dots(x[:1], y[:1], f"{KINDS[name]} start")
    length = float(np.abs(x - x[0]).max())
    count, asked = len(path) - 1, found.gradients // 2 - 1
    words = f"{count} leapfrogs of step {found.step_sizes[name]:.3g} move {length:.2g} sds along the widest direction"
    cut = (
        ""
        if count == asked
        else f" It left the picture there, with {asked} leapfrogs asked for: this step is too long for the curvature it met."
    )
    return figure(
        TITLES[name],
        canvas.render(f"{words}, from the same start with the same momentum as the other picture."),
        f"{words[0].upper()}{words[1:]}. The widest direction is mostly {found.names[0]}, the narrowest mostly "
        f"{found.names[1]}. Dots are draws; the large one is the start, the same in both pictures.{cut}",
    )


def _reach(parts: list[np.ndarray]) -> tuple[float, float]:
    """Limits that hold the draws but for a few far out, and the paths; never more than `MAX_REACH` of sds."""
    draws, *paths = parts
    low, high = np.quantile(draws, [0.005, 0.995])
    values = np.concatenate([[low, high, -MIN_REACH, MIN_REACH], *paths])
    return span_of(values[np.abs(values) <= MAX_REACH])
