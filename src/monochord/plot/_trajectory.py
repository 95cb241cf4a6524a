"""The same trajectory under the identity and under the fitted metric."""

from collections.abc import Callable
from typing import Any

import numpy as np

from monochord import pipeline
from monochord.arguments import check_belongs, gaussian_of
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of
from monochord.orbits import NUM_LEAPFROGS, orbits
from monochord.plot._matplotlib import axes
from monochord.settings import check_count
from monochord.targets import AbstractTarget

NUM_POINTS = 400  # behind the paths


def trajectory(
    model: Callable | AbstractTarget,
    fit: FitResult | Gaussian | None = None,
    *,
    num_leapfrogs: int = NUM_LEAPFROGS,
    seed: int = 0,
    ax: Any = None,
    **model_options: Any,
) -> Any:
    """One leapfrog trajectory without and with the metric, in the plane of its widest and narrowest direction; two axes.

    Both begin at one point with one whitened momentum and spend ``num_leapfrogs + 1`` gradients. Axes are in sds along the two
    directions, about the mean; the points behind are draws of the fit, in the coordinates of its map where it has one. `fit` is
    made, without a map, where it is left out. `ax` takes two axes.

    **Raises** `OptionError` for a target of one coordinate or a fit of another target, `MissingPackage` without matplotlib.
    """
    check_count("num_leapfrogs", num_leapfrogs, 1, 10_000)
    target = pipeline.target(model, **model_options)
    result = fit if fit is not None else pipeline.fit(target, seed=seed, maps=False)
    if isinstance(result, FitResult):
        check_belongs(result, target)
        target = in_coordinates_of(target, result)
    gaussian = gaussian_of(result) if isinstance(result, FitResult) else result
    found = orbits(target, gaussian, gaussian.sample(np.random.default_rng(seed), NUM_POINTS), num_leapfrogs)
    pair = np.ravel(axes(ax, 2, figsize=(9.0, 4.2), sharex=True, sharey=True))
    if len(pair) != 2:
        raise OptionError(f"`ax` holds {len(pair)} axes. Identity and fitted metric need one each. Pass two, or none.")
    for one, (name, path) in zip(pair, found.paths.items(), strict=True):
        one.scatter(found.draws[:, 0], found.draws[:, 1], s=4, color="0.7")
        one.plot(path[:, 0], path[:, 1], marker=".", color="C1" if name == "identity" else "C0")
        one.plot(path[0, 0], path[0, 1], marker="o", color="k")
        one.set(
            title=f"{name}: {len(path) - 1} leapfrogs of {found.step_sizes[name]:.3g}",
            xlabel="along the widest direction, sds",
        )
    pair[0].set_ylabel("along the narrowest direction, sds")
    return pair
