"""`product_map`: coordinates that enter a likelihood only as products with scales, found by an exact symmetry of the score.

Where a coordinate x has a Gaussian prior and meets the data as x·e^h, x ↦ x e^{−t}, h ↦ h + t leaves the likelihood as it is, so that

    ∂ log p/∂h = f(h) + x ∂ log p/∂x + x²/s²,

f the score of the prior of h. A regression over points shows it whatever the likelihood, at a coefficient of 1 (centred scales
have −1 or −1/2). Global–local shrinkage priors are of this form (Carvalho, Polson & Scott 2010: the horseshoe): each coefficient has a scale of
its own, and all share one. Given the scales a coordinate has the precision of its prior and one that grows with them: `ScaledMap`, non-centred where scales are small and centred where they are large.
"""

import numpy as np
from jaxtyping import Float

from monochord.maps._learn import FEWEST_PAIRS, HUB, MAX_DIM, NUM_SCALE, Parents
from monochord.maps._scaled import ScaledMap, smooth_minimum
from monochord.targets import Evaluations

POWERS = 6  # of a scale's logarithm, that stand for the score of its prior
HOLDS, POOLED = (
    0.7,
    0.8,
)  # of what they leave of its score, explained by one coordinate and by all that share a scale: others reach .25
NEAR_ONE = 0.1  # of the coefficient that the symmetry says is 1
# Slope of a scale of its own: the symmetry's. Regressions find .75 to .95, as large scales of others flatten a likelihood; but with less
# than 1 a product moves with its scale, and where products are huge every such move meets a wall. The slopes of shared scales stay
# as found (.15 to .45): nearer 1 the walls are gone, and the shared scale itself hardly moves
OWN = 1.0
# Of the points: beyond this quantile of a shared scale their slope would be extrapolated. That of a Gaussian likelihood, 1, has no end
EDGE = 0.9
START = 0.7  # of the search for slopes
GROWTHS = np.exp(np.linspace(-12.0, 12.0, 97))  # steps of a quarter in the logarithm: 13 % of a scale
MOST = 60.0  # of exponents
LEAST_PRECISION = 1e-3


def product_parents(points: Evaluations) -> dict[int, Parents]:
    """Coordinates that a scale of their own multiplies, with that scale and those which all of them share; {} where they are few."""
    points = points.take(np.flatnonzero(points.finite()))
    x, score = points.x, points.score
    dim = x.shape[1]
    if len(x) < 2 * FEWEST_PAIRS or not 2 <= dim <= MAX_DIM:
        return {}
    products, squares = x * score, x**2
    shares = np.stack([_explained(x[:, j], score[:, j], products, squares) for j in range(dim)])
    np.fill_diagonal(shares, 0.0)
    shares = np.where(
        shares > shares.T, shares, 0.0
    )  # a coordinate and its scale look alike from both sides, but for their priors
    own: dict[int, int] = {}
    for i, j in zip(np.argmax(shares, axis=1), range(dim), strict=True):
        if shares[j, i] >= max(shares[:, i].max(), HOLDS):
            own[int(i)] = j
    own = {i: j for i, j in own.items() if i not in own.values()}
    if len(own) < HUB:
        return {}
    children = sorted(own)
    pooled = products[:, children].sum(1, keepdims=True), squares[:, children].sum(1, keepdims=True)
    free = [j for j in range(dim) if j not in own and j not in own.values()]
    shared = [j for j in free if _explained(x[:, j], score[:, j], *pooled)[0] > POOLED][: NUM_SCALE - 1]
    return {i: Parents((own[i], *shared), (), (), True) for i in children}


def _explained(
    x: Float[np.ndarray, " n"], score: Float[np.ndarray, " n"], products: Float[np.ndarray, "n k"], squares
) -> Float[np.ndarray, " k"]:
    """Shares of what powers of x leave of its score that one product and one square explain; 0 where the product's coefficient is not 1.

    The identity holds row by row. Far off some rows are larger by any factor, and must not decide alone: rows are weighted.
    """
    weight = 1.0 / (1.0 + np.abs(score))
    z = (x - x.mean()) / max(float(x.std()), 1e-300)
    basis = np.linalg.qr(weight[:, None] * z[:, None] ** np.arange(POWERS + 1))[0]

    def left(values):
        values = (weight * values.T).T
        return values - basis @ (basis.T @ values)

    y, a, b = left(score), left(products), left(squares)
    aa, bb, ab = (a**2).sum(0), (b**2).sum(0), (a * b).sum(0)
    ay, by = a.T @ y, b.T @ y
    determinant = np.maximum(aa * bb - ab**2, 1e-12 * aa * bb + 1e-300)
    of_product, of_square = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
    explained = (of_product * ay + of_square * by) / max(float(y @ y), 1e-300)
    return np.where((np.abs(of_product - 1.0) < NEAR_ONE) & (of_square > 0), explained, 0.0)


def product_map(points: Evaluations, parents: dict[int, Parents], power: float = 0.0) -> ScaledMap:
    """The map of `parents`, from points where the target's mass is, with their scores, in coordinates that scales multiply.

    `power` is 1 for a target whose own coordinates are the products.

    Given slopes of the scales each coordinate has two unknowns, precision and pull of its likelihood; the slopes, shared by all, are
    those that leave least of the scores (variable projection; Golub & Pereyra 1973). A scale of a coordinate's own then gets the symmetry's.
    """
    from scipy.optimize import minimize  # half a second of imports, where a map is looked for

    points = points.take(np.flatnonzero(points.finite()))
    x, score = points.x, points.score
    children = sorted(parents)
    center = x.mean(0)
    own = np.array([parents[i].scale[0] for i in children])
    shared = list(parents[children[0]].scale[1:])
    prior = np.maximum(_prior_precision(x, score, children, own), LEAST_PRECISION)
    edge = np.full(x.shape[1], np.inf)
    logs, at, pull = x[:, own] - center[own], x[:, children], score[:, children]

    def fitted(slopes, common):
        return _likelihoods(at, pull, prior, slopes[0] * logs + (common @ slopes[1:])[:, None])

    def searched(common):
        return minimize(lambda slopes: float(np.log(np.mean(fitted(slopes, common)[2]) + 1e-300)), np.full(1 + len(shared), START),
                        method="Nelder-Mead", options={"maxfev": 60, "xatol": 1e-3, "fatol": 1e-4}).x  # fmt: skip

    common = x[:, shared] - center[shared]
    found = searched(common)
    if np.all(found[1:] > OWN - NEAR_ONE):
        found[1:] = OWN  # no law has more, though points in a narrow range may say so
    else:
        edge[shared] = np.quantile(x[:, shared], EDGE, axis=0)
        common = smooth_minimum(x[:, shared], edge[shared]) - center[shared]
        found = searched(common)
    growth, pulls, _ = fitted(found, common)
    multipliers = np.column_stack([own, *(np.full(len(own), j) for j in shared)])
    slopes = np.tile(np.concatenate([[OWN], found[1:]]), (len(children), 1))
    return ScaledMap(
        np.array(children), multipliers, slopes, center, prior, growth, pulls, edge, np.full(len(own), power)
    )


def _likelihoods(x, score, prior, log_effect) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k, c and what they leave of the score, by coordinate: k is looked for on a grid, c is linear given it."""
    effect = np.exp(np.clip(log_effect, -MOST, MOST))
    found = [np.full(x.shape[1], np.inf)] * 3
    for growth in GROWTHS:
        precision = prior + growth * effect**2
        rest = score + precision * x
        pull = np.sum(effect * rest / precision, 0) / np.sum(effect**2 / precision, 0)
        left = np.mean((rest - effect * pull) ** 2 / precision, 0)
        new = (np.full(x.shape[1], growth), pull, left)
        found = [np.where(left < found[2], a, b) for a, b in zip(new, found, strict=True)]
    return found[0], found[1], found[2]


def _prior_precision(x, score, children, own) -> np.ndarray:
    """1/s² of each coordinate: what its scale's score has of its square."""
    found = []
    for i, j in zip(children, own, strict=True):
        z = (x[:, j] - x[:, j].mean()) / x[:, j].std()
        products = np.column_stack([x[:, i] * score[:, i], x[:, i] ** 2])
        basis = np.concatenate([z[:, None] ** np.arange(POWERS + 1), products], axis=1)
        found.append(np.linalg.lstsq(basis, score[:, j], rcond=None)[0][-1])
    return np.array(found)
