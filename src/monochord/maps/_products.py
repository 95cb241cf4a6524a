"""`product_map`: coordinates that enter a likelihood only as products with scales, found by an exact symmetry of the score.

Where a coordinate x has a Gaussian prior and meets the data as x·e^h, x ↦ x e^{−t}, h ↦ h + t leaves the likelihood as it is, so that

    ∂ log p/∂h = f(h) + x ∂ log p/∂x + x²/s²,

f the score of the prior of h. A regression over points shows it whatever the likelihood, at a coefficient of 1 (centred scales
have −1 or −1/2). Global–local shrinkage priors are of this form (Carvalho, Polson & Scott 2010: the horseshoe): each coefficient has a scale of
its own, and all share one. Given the scales a coordinate has the precision of its prior and one that grows with them: two components of
`ConditionalMap`, non-centred where scales are small and centred where they are large.
"""

import numpy as np
from jaxtyping import Float

from monochord.gaussian import Gaussian
from monochord.maps._learn import FEWEST_PAIRS, HUB, MAX_DIM, NUM_SCALE, Parents
from monochord.maps._scaled import ScaledMap
from monochord.targets import Evaluations

POWERS = 6  # of a scale's logarithm, that stand for the score of its prior
HOLDS, POOLED = 0.8, 0.95  # of what they leave of its score, explained by one coordinate and by all that share a scale
START = 0.7
WEIGHTS = np.exp(np.linspace(-12.0, 12.0, 97))


def product_parents(points: Evaluations) -> dict[int, Parents]:
    """Coordinates that a scale of their own multiplies, with that scale and those which all of them share; {} where they are few."""
    x, score = points.x, points.score
    dim = x.shape[1]
    if len(x) < 2 * FEWEST_PAIRS or not 2 <= dim <= MAX_DIM:
        return {}
    products, squares = x * score, x**2
    shares = np.stack([_explained(x[:, j], score[:, j], products, squares) for j in range(dim)])
    np.fill_diagonal(shares, 0.0)
    shares = np.where(shares > shares.T, shares, 0.0)  # a coordinate and its scale look alike from both sides, but for their priors
    own: dict[int, int] = {}
    for i, j in zip(np.argmax(shares, axis=1), range(dim), strict=True):
        if shares[j, i] >= max(shares[:, i].max(), HOLDS):
            own[int(i)] = j
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
    """Shares of what powers of x leave of its score that one product and one square explain; 0 where the product's sign is another."""
    z = (x - x.mean()) / max(float(x.std()), 1e-300)
    basis = np.linalg.qr(z[:, None] ** np.arange(POWERS + 1))[0]

    def left(values):
        return values - basis @ (basis.T @ values)

    y, a, b = left(score), left(products), left(squares)
    aa, bb, ab = (a**2).sum(0), (b**2).sum(0), (a * b).sum(0)
    ay, by = a.T @ y, b.T @ y
    determinant = np.maximum(aa * bb - ab**2, 1e-12 * aa * bb + 1e-300)
    of_product, of_square = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
    explained = (of_product * ay + of_square * by) / max(float(y @ y), 1e-300)
    return np.where(of_product > 0, explained, 0.0)


def product_map(points: Evaluations, parents: dict[int, Parents]) -> ScaledMap:
    from scipy.optimize import minimize

    x, score = points.x, points.score
    children = sorted(parents)
    center, unit = x.mean(0), x.std(0)
    own = np.array([parents[i].scale[0] for i in children])
    shared = list(parents[children[0]].scale[1:])
    prior = np.maximum(_prior_precision(x, score, children, own), 1e-3)
    logs, common = x[:, own] - center[own], x[:, shared] - center[shared]
    at, pull = x[:, children], score[:, children]

    def fitted(slopes):
        return _components(at, pull, prior, slopes[0] * logs + (common @ slopes[1:])[:, None])

    found = minimize(lambda slopes: float(np.log(np.mean(fitted(slopes)[2]))), np.full(1 + len(shared), START),
                     method="Nelder-Mead", options={"maxfev": 60, "xatol": 1e-3, "fatol": 1e-4}).x  # fmt: skip
    growth, pulls, _ = fitted(found)
    slopes = np.tile(found, (len(children), 1))
    return ScaledMap(np.array(children), np.column_stack([own, *([np.full(len(own), j) for j in shared])]), slopes, center,
                     prior, growth, pulls)  # fmt: skip


def _components(x, score, prior, log_effect):
    """k, c and what they leave of the score, by coordinate."""
    effect, best = np.exp(np.clip(log_effect, -60.0, 60.0)), None
    for weight in WEIGHTS:
        precision = prior + weight * effect**2
        rest = score + precision * x
        pull = np.sum(effect * rest / precision, 0) / np.sum(effect**2 / precision, 0)
        left = np.mean((rest - effect * pull) ** 2 / precision, 0)
        new = (np.full(x.shape[1], weight), pull, left)
        best = new if best is None else tuple(np.where(left < best[2], a, b) for a, b in zip(new, best, strict=True))
    return best


def _prior_precision(x, score, children, own):
    found = []
    for i, j in zip(children, own, strict=True):
        z = (x[:, j] - x[:, j].mean()) / x[:, j].std()
        basis = np.concatenate([z[:, None] ** np.arange(POWERS + 1), (x[:, i] * score[:, i])[:, None], x[:, i : i + 1] ** 2], 1)
        found.append(np.linalg.lstsq(basis, score[:, j], rcond=None)[0][-1])
    return np.array(found)
