"""Maps of blocks whose precisions add."""

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.mapping._fitting import MAX_ROUNDS, fitted_rest, learned_by, leaves_out
from monochord.mapping._judge import gains, is_better
from monochord.maps import block_map
from monochord.targets import evaluate, idle_lanes

EXACT = 1e-6  # unexplained share of a coordinate's score: regressions of what is of their form leave 1e-12 and less


def along_blocks(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of blocks, where one is found and is better, or `linear`; and what it costs.

    The blocks are standard Gaussian given the rest. What is fitted is the rest alone, with the blocks held at zero: the mean residual of
    all coordinates would call a fit good whose few hyperparameters are far off. Where the blocks are Gaussian to rounding, what is left is as
    hard as the marginal of the rest, which every sampler must cross: no cost is predicted then, and a clear gain in ELBO is enough.
    """
    best, cost, points, is_exact = None, Cost(), None, False
    for number in range(MAX_ROUNDS):
        along = learned_by(block_map, linear, points)
        if along is None or leaves_out(linear, along.num_moved + len(along.scale_drivers) + len(along.drivers)):
            break
        found, spent = fitted_rest(fold_key(key, 2 * number), target, along, algorithm, callback, linear)
        cost = cost + spent
        if found is None or found.draws is None or found.elbo is None:
            break
        if best is None or best.elbo is None or found.elbo.value > best.elbo.value:
            best, is_exact = found, _is_exact(found, along.left)
        if is_exact or number + 1 == MAX_ROUNDS:
            break
        points = evaluate(target, along.place(found.draws.x))
        cost = cost + Cost(len(points.x), idle_lanes(len(points.x)))
    if best is None:
        return linear, cost
    if is_exact and best.verdict == linear.verdict == "start only":
        return (best if gains(best, linear) else linear), cost
    pays, spent = is_better(fold_key(key, 2 * MAX_ROUNDS), target, best, linear)
    return (best if pays else linear), cost + spent


def _is_exact(fit: FitResult, free: np.ndarray) -> bool:
    """Whether the coordinates but `free` are independent standard Gaussians to rounding: then only the marginal of `free` is left."""
    assert fit.gaussian is not None
    if fit.draws is None or not np.all(fit.draws.finite()):
        return False
    residuals = fits.coordinate_residuals(fit.gaussian, fit.draws).mean(0)
    return bool(np.max(np.delete(residuals, free), initial=0.0) < EXACT)
