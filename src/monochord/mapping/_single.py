"""Maps of the radius, and of single coordinates."""

import numpy as np

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._fitting import MAX_ROUNDS, begun, judged, learned_by
from monochord.mapping._judge import wants_radius, wants_tails
from monochord.maps import radial_map, tail_map
from monochord.metrics import identity_metric

MANY = 0.25  # of the coordinates of a fit that may serve as a start: tails of fewer cost as much to judge as they save


def along_radius(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the map of a Student-t, if one explains the scores and that fit is better, or `linear`; and what it costs.

    In the coordinates of such a map the target is close to a standard Gaussian: the fit begins there, without a search.
    """
    along = learned_by(radial_map, linear) if wants_radius(linear) and isinstance(algorithm, fits.Staged) else None
    if along is None:
        return linear, Cost()
    standard = Gaussian(np.zeros(along.dim), identity_metric(along.dim))
    found, cost = begun(key, target, (along, standard), linear, algorithm, callback)
    return judged(fold_key(key, MAX_ROUNDS), target, found, linear, cost)


def along_tails(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along a map of single coordinates, if one explains most of the scores and that fit is better, or `linear`; and what it costs.

    Where the first fit does not come to trust, a second map is learned from draws and couplings of it.
    """
    learned = learned_by(tail_map, linear) if wants_tails(linear) and isinstance(algorithm, fits.Staged) else None
    if learned is None or (linear.verdict == "start only" and learned[0].num_moved < MANY * learned[0].dim):
        return linear, Cost()
    best, cost = begun(fold_key(key, 0), target, learned, linear, algorithm, callback)
    if best is not None and best.verdict != "trust" and best.draws is not None and best.elbo is not None:
        again = learned_by(tail_map, best, learned[0])
        if again is not None:
            found, spent = begun(fold_key(key, 1), target, again, linear, algorithm, callback)
            cost = cost + spent
            if found is not None and found.elbo is not None and found.elbo.value > best.elbo.value:
                best = found
    return judged(fold_key(key, MAX_ROUNDS), target, best, linear, cost)
