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
from monochord.maps import (
    Parents,
    ScaledMap,
    as_products,
    centred_parents,
    mapped,
    product_map,
    product_parents,
    spread_as_products,
)
from monochord.metrics import DiagonalMetric, identity_metric
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes

ROUNDS = 3
SPREAD = 2.0  # a fit where all scales are tiny hardly shows products: 23 to 60 of 100 were found on its draws, 99 and 100 this far off
NUM_CHAINS, NUM_DRAWS = 4, 64  # 256 points for three unknowns of each coordinate
SURE = 3.0  # times as much as other maps may a fit along one cost: that there are products is no guess
# Nats by which a later map's fit may have less: where chains had come to the posterior 7 at most, and 60 to 110 where they had not left the
# first fit's neighbourhood and the second map was learned from nothing
ASTRAY = 20.0
FEWEST_POINTS = 64  # for another map
DEPTH = 7  # of their trees: in the tail of a scale longer ones spent all of a round
PIECE = 8  # of these draws, between looks at what they have cost
MOST_GRADIENTS = 30_000  # of one round's chains
ACCEPT = 0.8  # Stan's default for adapt_delta (reference manual)
# Of those found on a fit's draws, also found so far off: an identity holds everywhere. Horseshoes 1 to 4, regularised ones, whose slab ends the
# products' growth, 0 to .2, and there maps cost more than they gained
HOLDS = 0.8


def along_products(key: Key, target, linear: FitResult, algorithm, callback) -> tuple[FitResult, Cost]:
    """The fit along the last map if one of the first two was better than `linear`, else `linear`; and what it cost.

    Where the linear fit sits at tiny scales its draws show little of the likelihood, so that a first map need not be better yet.
    Later maps are learned where the posterior is, and are not held against the first by an ELBO: a Gaussian fits best where
    a map was learned, which is no reason to stay there.
    """
    assert linear.draws is not None
    with np.errstate(all="ignore"):  # of draws far in the tails
        parents, is_centred, cost = _parents(fold_key(key, 3 * ROUNDS), target, linear.draws)
    best, points = linear, linear.draws
    for number in range(ROUNDS if parents else 0):
        within = as_products(points, parents) if is_centred else points
        if number:
            parents = max(parents, product_parents(within), key=len)
        along = product_map(within, parents, float(is_centred))
        found, spent = fitted(fold_key(key, 3 * number), target, along, algorithm, callback, SURE * allowance(linear))
        cost = cost + spent
        if found is not None and found.status in FINISHED and found.gaussian is not None:
            pays, spent = _takes_over(fold_key(key, 3 * number + 1), target, found, best, linear)
            cost = cost + spent
            if best is not linear and not pays:
                break
            best = found if pays else best
        if number + 1 == ROUNDS or (number and (best is linear or np.all(np.isinf(along.edge)))):
            break  # without an edge slopes are those of a Gaussian likelihood, and hold wherever its posterior is
        begin = _beginning(found, along, points)
        try:
            x, spent = _chain_draws(fold_key(key, 3 * number + 2), mapped(target, along), begin)
        except ModelError:
            break
        points = evaluate(target, along.place(x))
        cost = cost + spent + Cost(len(x), idle_lanes(len(x)))
        if len(x) < FEWEST_POINTS:  # warm-up spent the round
            break
    return best, cost


def _takes_over(key: Key, target, found: FitResult, best: FitResult, linear: FitResult) -> tuple[bool, Cost]:
    """Whether a fit along a map takes the place of the best so far, and what it cost to say."""
    if best is linear:
        return is_better(key, target, found, linear)
    assert found.elbo is not None and best.elbo is not None
    return found.elbo.value > best.elbo.value - ASTRAY, Cost()


def _beginning(found: FitResult | None, along: ScaledMap, points: Evaluations) -> Gaussian:
    """What chains along a map begin from, in its coordinates: the fit there, or the points it was learned from where that came to nothing."""
    if found is not None and found.gaussian is not None:
        return found.gaussian
    u = along.inverse(points.x)
    return Gaussian(u.mean(0), DiagonalMetric(u.std(0)))


def _parents(key: Key, target: AbstractTarget, draws: Evaluations) -> tuple[dict[int, Parents], bool, Cost]:
    """What scales multiply, told from points around the draws of a fit, where those show some of it; whether coordinates are the products themselves;
    and the cost.
    """
    noise = SPREAD * host_generator(key).standard_normal(draws.x.shape)
    near, centred = product_parents(draws), {}
    if not near:
        centred = centred_parents(draws)
    if not near and not centred:
        return {}, False, Cost()
    far = spread_as_products(target, draws, centred, noise) if centred else evaluate(target, draws.x + noise)
    found, wanted = product_parents(far), near or centred
    cost = Cost(len(noise), idle_lanes(len(noise)))
    if len(found) < HOLDS * len(wanted):
        return {}, False, cost
    # a centred coordinate that is left out would stay a funnel
    return (wanted if centred else found), bool(centred), cost


def _chain_draws(key: Key, target: AbstractTarget, gaussian: Gaussian) -> tuple[np.ndarray, Cost]:
    """Draws of short chains of NUTS without a metric, from draws of the fit; and their cost.

    **Raises** `ModelError` where the fit has no draws of finite density.
    """
    points, cost = sampling.chain_starts(target, gaussian, host_generator(fold_key(key, 0)), NUM_CHAINS)
    metric = identity_metric(target.dim)
    settings = sampling.SamplerSettings(
        NUM_CHAINS, NUM_DRAWS, "nuts", ACCEPT, DEPTH, is_trusted=False, max_gradients=MOST_GRADIENTS, piece=PIECE
    )
    start = sampling.Start(points, gaussian, metric)
    drawn = sampling.run_chains(fold_key(key, 1), target, [start], cost, settings)
    spent = Cost(drawn.gradients_warmup + drawn.gradients_sampling, drawn.idle_lanes)
    return np.asarray(drawn.x, np.float64).reshape(-1, target.dim), spent
