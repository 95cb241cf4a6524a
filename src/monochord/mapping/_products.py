"""Fits along a map of coordinates that scales multiply, learned again from chains along it.

The linear fit of such a posterior sits where the shared scale is small, far from most of the mass, and a Gaussian cannot say how
far. What a map should be there only draws know: short chains along the first map are its teachers, and are charged.
"""

import numpy as np

from monochord import sampling
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping._fitting import allowance, fitted
from monochord.mapping._judge import FINISHED, is_better
from monochord.maps import mapped, product_map, product_parents
from monochord.metrics import identity_metric
from monochord.targets import AbstractTarget, evaluate, idle_lanes

ROUNDS = 3
NUM_CHAINS, NUM_DRAWS = 4, 64  # 256 points for three unknowns of each coordinate
SURE = 3.0  # as much may a fit cost once a first map has paid
FEWEST_POINTS = 64  # for another map
DEPTH = 7  # of their trees: in the tail of a scale longer ones spent all of a round
MOST_GRADIENTS = 30_000  # of one round's chains
ACCEPT = 0.8  # Stan's default for adapt_delta (reference manual)


def along_products(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the last map if the first was better than `linear`, else `linear`; and what it cost.

    Later maps are learned where the posterior is, and are not held against the first by an ELBO: a Gaussian fits best where
    a map was learned, which is no reason to stay there.
    """
    assert linear.draws is not None
    parents = product_parents(linear.draws)
    best, cost, points = linear, Cost(), linear.draws
    for number in range(ROUNDS if parents else 0):
        along = product_map(points, parents)
        found, spent = fitted(
            fold_key(key, 2 * number),
            target,
            along,
            algorithm,
            callback,
            SURE * allowance(linear) if number else allowance(linear),
        )
        cost = cost + spent
        if found is None or found.status not in FINISHED or found.gaussian is None:
            break
        if best is linear:
            pays, spent = is_better(fold_key(key, 2 * ROUNDS), target, found, linear)
            cost = cost + spent
            if not pays:
                break
        best = found
        if number + 1 < ROUNDS:
            try:
                x, spent = _chain_draws(fold_key(key, 2 * number + 1), mapped(target, along), found.gaussian)
            except ModelError:
                break
            points = evaluate(target, along.place(x))
            cost = cost + spent + Cost(len(x), idle_lanes(len(x)))
            if len(x) < FEWEST_POINTS:  # warm-up spent the round
                break
    return best, cost


def _chain_draws(key: Key, target: AbstractTarget, gaussian: Gaussian) -> tuple[np.ndarray, Cost]:
    """Draws of short chains of NUTS without a metric, from draws of the fit; and their cost.

    **Raises** `ModelError` where the fit has no draws of finite density.
    """
    points, cost = sampling.chain_starts(target, gaussian, host_generator(fold_key(key, 0)), NUM_CHAINS)
    metric = identity_metric(target.dim)
    settings = sampling.SamplerSettings(
        NUM_CHAINS, NUM_DRAWS, "nuts", ACCEPT, DEPTH, is_trusted=False, max_gradients=MOST_GRADIENTS
    )
    start = sampling.Start(points, gaussian, metric)
    drawn = sampling.run_chains(fold_key(key, 1), target, [start], cost, settings)
    spent = Cost(drawn.gradients_warmup + drawn.gradients_sampling, drawn.idle_lanes)
    return np.asarray(drawn.x, np.float64).reshape(-1, target.dim), spent
