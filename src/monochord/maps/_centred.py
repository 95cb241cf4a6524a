"""Coordinates that are products themselves: their prior's standard deviation is a scale of their own, times shared ones.

For x ~ N(0, e^{2h}), h = log own + log shared, the score of a logarithm of a scale holds nothing of the likelihood,

    ∂ log p/∂(log own) = f(log own) + x² e^{−2h} − 1,   ∂ log p/∂(log shared) = f(log shared) + Σ (∂ log p/∂(log own) − f(log own)),

the sum over all that share it. In the coordinates z = x e^{−h} the target is one of products (`product_parents`), of which an identity holds at all
points: what is guessed here is tested there.
"""

import numpy as np
from jaxtyping import Float

from monochord.maps._learn import FEWEST_PAIRS, HUB, MAX_DIM, NUM_SCALE, Parents
from monochord.maps._products import MOST, POOLED, POWERS
from monochord.targets import AbstractTarget, Evaluations, evaluate

# Of what powers leave of its score, explained by the square of one coordinate over its own: .45 to .95 of centred horseshoes, whose shared scale
# varies meanwhile; other pairs reach .6, but not as the best of both
PAIRED = 0.4
NEAR_ONE = 0.2  # of the coefficient of the sum, .89 to .92 as powers do not stand for f exactly


def centred_parents(points: Evaluations) -> dict[int, Parents]:
    """Coordinates whose own scale another is, with that scale and those which all of them share; {} where they are few."""
    points = points.take(np.flatnonzero(points.finite()))
    x, score = points.x, points.score
    dim = x.shape[1]
    if len(x) < 2 * FEWEST_PAIRS or not 2 <= dim <= MAX_DIM:
        return {}
    own = _pairs(x, score, np.zeros(len(x)), PAIRED)
    if len(own) < HUB:
        return {}
    pooled = score[:, list(own.values())].sum(1)
    free = [j for j in range(dim) if j not in own and j not in own.values()]
    shared = [j for j in free if _is_pooled(x[:, j], score[:, j], pooled)][: NUM_SCALE - 1]
    own = _pairs(x, score, x[:, shared].sum(1), POOLED)  # the law holds exactly once all of the scale is known
    return {i: Parents((own[i], *shared), (), (), True) for i in sorted(own)} if len(own) >= HUB else {}


def _pairs(x, score, log_shared: Float[np.ndarray, " n"], least: float) -> dict[int, int]:
    """Coordinates with the scale of their own that they explain best of all, and no other coordinate better."""
    shares = np.stack([_explained(x[:, j], log_shared, score[:, j], x) for j in range(x.shape[1])])
    np.fill_diagonal(shares, 0.0)
    best = np.argmax(shares, axis=1)
    own = {int(i): j for j, i in enumerate(best) if shares[j, i] >= max(shares[:, i].max(), least)}
    return {i: j for i, j in own.items() if i not in own.values()}


def as_products(points: Evaluations, parents: dict[int, Parents]) -> Evaluations:
    """`points` in the coordinates z = x e^{−h} of the children: places, log densities and scores."""
    children, drivers = _places(parents)
    factor = np.exp(_log_scales(points.x, drivers))
    x, score = points.x.copy(), points.score.copy()
    moved = 1.0 + points.x[:, children] * points.score[:, children]  # the first from the log determinant, h
    for column in drivers.T:
        np.add.at(score.T, column, moved.T)
    x[:, children] /= factor
    score[:, children] *= factor
    return Evaluations(x, points.log_density + np.log(factor).sum(1), score)


def spread_as_products(
    target: AbstractTarget, points: Evaluations, parents: dict[int, Parents], noise: Float[np.ndarray, "n dim"]
) -> Evaluations:
    """Points `noise` away from `points` in the coordinates of `as_products`, evaluated and in these coordinates."""
    children, drivers = _places(parents)
    x = as_products(points, parents).x + noise
    x[:, children] *= np.exp(_log_scales(x, drivers))
    return as_products(evaluate(target, x), parents)


def _places(parents: dict[int, Parents]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(sorted(parents)), np.array([parents[i].scale for i in sorted(parents)])


def _log_scales(x, drivers):
    return np.clip(x[:, drivers].sum(-1), -MOST, MOST)


def _left(x: Float[np.ndarray, " n"], *values):
    """What powers of x leave of values."""
    z = (x - x.mean()) / max(float(x.std()), 1e-300)
    basis = np.linalg.qr(z[:, None] ** np.arange(POWERS + 1))[0]
    return [value - basis @ (basis.T @ value) for value in values]


def _explained(
    scale: Float[np.ndarray, " n"], log_shared, score, x: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " k"]:
    """Share of what powers of a scale leave of its score that x² over its square explains, with a positive coefficient."""
    whole = scale + log_shared
    squares = x**2 * np.exp(np.clip(-2.0 * (whole - whole.mean()), -MOST, MOST))[:, None]
    y, square = _left(scale, score, squares)
    slope = square.T @ y
    return np.where(slope > 0, slope**2 / np.maximum((square**2).sum(0) * (y @ y), 1e-300), 0.0)


def _is_pooled(x: Float[np.ndarray, " n"], score: Float[np.ndarray, " n"], pooled: Float[np.ndarray, " n"]) -> bool:
    y, total = _left(x, score, pooled)
    slope = (total @ y) / max(float(total @ total), 1e-300)
    share = (total @ y) ** 2 / max(float(total @ total) * float(y @ y), 1e-300)
    return bool(abs(slope - 1.0) < NEAR_ONE and share > POOLED)
