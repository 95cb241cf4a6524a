"""`block_map`: blocks of coordinates whose scores are linear given a few drivers, in terms that the drivers weigh.

Given the drivers z the score of a block is −P(z) x_B + r(z). With P = Σ_k w_k Q_k, r = Σ_k w_k R_k (1, z_L) and weights
log w_k = −2 e_k z_k it is linear in Q and R: each block is a regression, and the few exponents, shared by all of them, are
found by minimising what the regressions leave (variable projection; Golub & Pereyra 1973). Where a model is of that form, prior and
likelihood Gaussian given the hyperparameters, all is exact from a few dozen points of any distribution; no gradient is spent.

Which coordinates form a block is read off the precision of the fit: those coupled to each other once the drivers, and what
too many lean on, are left out.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from monochord.gaussian import Gaussian
from monochord.maps._block import BlockMap
from monochord.maps._learn import EXPLAINED, FEWEST_PAIRS, HUB, MAX_DIM, _edges
from monochord.targets import Evaluations

COUPLED = 0.03  # partial correlation of two coordinates of a block; of groups of none it is .02 at most with 128 draws
LEANS, NOTHING_LEFT, MAX_LOOKS = (
    0.6,
    1e-8,
    4,
)  # correlation of what is left with one coordinate; share left of a mean square
MAX_WIDTH, MAX_SCALES, MAX_DRIVERS = 32, 4, 8
POINTS_EACH = 2.0  # for each unknown of one regression
BLOCKS_SEARCHED = 16  # that decide on the exponents
FIRST_EXPONENT, MAX_EVALUATIONS = 0.2, 400
RIDGE = 1e-9  # of the mean square of a regressor
LEAST_GAIN = 4.0  # ratio of what one term leaves, precisions constant, to what all do
FLOOR = 1e-6  # of a precision, in the first term: what remains positive everywhere


def block_map(gaussian: Gaussian, draws: Evaluations, better: Evaluations | None = None) -> BlockMap | None:
    """The map of blocks found in antithetic `draws` (of `gaussian`, halves one after the other, with scores); or None.

    The regressions use the points `better`, where there are some, from where the target's mass is.
    """
    half = len(draws.x) // 2
    finite = draws.finite()
    paired = np.flatnonzero(finite[:half] & finite[half : 2 * half])
    points = draws.take(np.flatnonzero(finite)) if better is None else better.take(np.flatnonzero(better.finite()))
    if len(paired) < FEWEST_PAIRS or not 2 <= gaussian.dim <= MAX_DIM:
        return None
    center, unit = points.x.mean(0), points.x.std(0)
    scales = list(_edges(gaussian, draws.take(np.concatenate([paired, half + paired]))).drivers)
    if not np.all(unit > 0) or not 1 <= len(scales) <= MAX_SCALES:
        return None
    z, score = (points.x - center) / unit, points.score * unit
    coupled = _coupled(gaussian)
    for _ in range(MAX_LOOKS):
        places, blocks = _blocks(coupled, scales)
        if not _enough(z, scales, places, blocks):
            return None
        scales, places, exponents = _promoted(z, score, scales, places, blocks)
        more = _still_coupled(z, score, scales, places, blocks, exponents)
        if not np.any(more & ~coupled):
            break
        coupled = coupled | more
    else:
        return None
    fits = [_positive(z, score, scales, places, block, exponents) for block in blocks]
    kept = [place for place, (_, explained, gain) in enumerate(fits) if explained > EXPLAINED]
    if not kept or not np.median([fits[place][2] for place in kept]) > LEAST_GAIN:
        return None
    chosen = [(blocks[place], fits[place][0]) for place in kept]
    return _assembled(chosen, scales, places, center, unit, exponents)


def _enough(z, scales, places, blocks) -> bool:
    """Whether there is something to regress, and points enough."""
    width = max((len(block) for block in blocks), default=0)
    unknowns = (1 + len(scales)) * (1 + len(places) + width)
    return width > 0 and len(places) <= MAX_DRIVERS and len(z) >= POINTS_EACH * unknowns


def _promoted(z, score, scales, places, blocks) -> tuple[list[int], list[int], Float[np.ndarray, "terms scales"]]:
    """Drivers of weights, of locations, and exponents: what many lean on may set weights too, if too faintly to be seen by itself."""
    exponents, left = _exponents(z, score, scales, places, blocks)
    while places and len(scales) < MAX_SCALES and left > math.log(NOTHING_LEFT):
        tried = []
        for j in places:
            others = [i for i in places if i != j]
            if _enough(z, [*scales, j], others, blocks):
                tried.append((*_exponents(z, score, [*scales, j], others, blocks), j))
        found, new, j = min(tried, key=lambda one: one[1], default=(exponents, left, -1))
        if not new < left - math.log(LEAST_GAIN):
            break
        exponents, left, scales, places = found, new, [*scales, j], [i for i in places if i != j]
    return scales, places, exponents


def _coupled(gaussian: Gaussian) -> Bool[np.ndarray, "dim dim"]:
    """Pairs that lean on each other, all others given, under the Gaussian."""
    precision = np.asarray(gaussian.metric.solve(np.eye(gaussian.dim)))
    size = np.sqrt(np.diag(precision))
    coupled = np.abs(precision / np.outer(size, size)) > COUPLED
    np.fill_diagonal(coupled, False)
    return coupled


def _still_coupled(z, score, scales, places, blocks, exponents) -> Bool[np.ndarray, "dim dim"]:
    """Pairs of coordinates of two blocks, one of whose scores leans on the other where its block has explained what it can.

    A fit that sits in the neck of a funnel sees groups fall apart; their scores do not.
    """
    weights, dim = _weights(z, scales, exponents), z.shape[1]
    found = np.zeros((dim, dim), bool)
    others = np.setdiff1d(np.arange(dim), [*scales, *places])
    spread = (z - z.mean(0)) / z.std(0)
    for block in blocks:
        left = _regressed(z, score[:, block], weights, _regressors(z, places, block))[1]
        for i, rest in zip(block, left.T, strict=True):
            if np.mean(rest**2) > NOTHING_LEFT * np.mean(score[:, i] ** 2):
                leaning = np.abs(spread.T @ (rest - rest.mean())) / (len(z) * max(float(rest.std()), 1e-300))
                j = others[int(np.argmax(leaning[others]))]
                found[i, j] = found[j, i] = leaning[j] > LEANS and i != j
    return found


def _blocks(coupled: Bool[np.ndarray, "dim dim"], scales: list[int]) -> tuple[list[int], list[list[int]]]:
    """What many lean on, and the blocks that the rest falls into."""
    coupled = coupled.copy()
    coupled[scales] = coupled[:, scales] = False
    dim = len(coupled)
    left, places = [i for i in range(dim) if i not in scales], []
    while left and len(places) <= MAX_DRIVERS:
        blocks = _components(coupled, left)
        degree = {i: sum(coupled[i, j] for j in block) for block in blocks if _is_loose(coupled, block) for i in block}
        hub = max(degree, key=degree.__getitem__, default=None)
        if hub is None or degree[hub] < HUB:
            return places, blocks if max(map(len, blocks)) <= MAX_WIDTH else []
        places.append(hub)
        left.remove(hub)
    return places, []


def _is_loose(coupled, block: list[int]) -> bool:
    """Whether less than half of a block's pairs are coupled, as where many lean on a few."""
    return bool(coupled[np.ix_(block, block)].sum() < 0.5 * len(block) * (len(block) - 1))


def _components(coupled, among: list[int]) -> list[list[int]]:
    found, seen = [], set()
    for first in among:
        if first in seen:
            continue
        block, waiting = set(), {first}
        while waiting:
            i = waiting.pop()
            block.add(i)
            waiting |= {j for j in among if coupled[i, j]} - block
        seen |= block
        found.append(sorted(block))
    return found


def _weights(z, scales, exponents):
    """Weights of the terms, the first of which is 1: shape (n, terms)."""
    return np.exp(-2.0 * z[:, scales] @ exponents.T)


def _table(diagonal) -> np.ndarray:
    """Exponents by term and driver: a constant term, and one for each driver."""
    return np.concatenate([np.zeros((1, len(diagonal))), np.diag(diagonal)])


def _regressed(z, target, weights, regressors) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (terms, regressors, outcomes) of `target` on all products, and what they leave."""
    design = (weights[:, :, None] * regressors[:, None, :]).reshape(len(z), -1)
    size = np.maximum(np.sqrt(np.mean(design**2, axis=0)), 1e-300)
    scaled = design / size
    gram = scaled.T @ scaled / len(z) + RIDGE * np.eye(design.shape[1])
    found = np.linalg.solve(gram, scaled.T @ target / len(z))
    left = target - scaled @ found
    return (found / size[:, None]).reshape(weights.shape[1], regressors.shape[1], -1), left


def _regressors(z, places, block) -> np.ndarray:
    return np.concatenate([np.ones((len(z), 1)), z[:, places], -z[:, block]], axis=1)


def _exponents(z, score, scales, places, blocks) -> tuple[Float[np.ndarray, "terms scales"], float]:
    """Of the weights, those that leave least of the scores of some blocks, spread over all; and the log of the share left."""
    from scipy.optimize import minimize  # half a second of imports, where a map is looked for

    tried = blocks[:: max(1, len(blocks) // BLOCKS_SEARCHED)]
    prepared = [(_regressors(z, places, block), score[:, block]) for block in tried]

    def left(diagonal) -> float:
        weights = _weights(z, scales, _table(np.clip(diagonal, -20.0, 20.0)))
        shares = [np.mean((_regressed(z, y, weights, x)[1] / y.std(0)) ** 2) for x, y in prepared]
        return float(np.log(np.mean(shares) + 1e-30))

    signs = np.sign(
        [sum(np.corrcoef(z[:, j], np.log(score[:, i] ** 2 + 1e-300))[0, 1] for b in tried for i in b) for j in scales]
    )
    start = -FIRST_EXPONENT * np.where(signs == 0, -1.0, signs)
    found = minimize(left, start, method="Nelder-Mead",
                     options={"maxfev": MAX_EVALUATIONS, "xatol": 1e-6, "fatol": 1e-3})  # fmt: skip
    return _table(found.x), float(found.fun)


def _positive(z, score, scales, places, block, exponents) -> tuple[tuple[np.ndarray, np.ndarray], float, float]:
    """Q (terms, b, b), each positive semidefinite, and R (terms, b, 1 + places); how well they explain; and their gain."""
    weights, regressors = _weights(z, scales, exponents), _regressors(z, places, block)
    first = 1 + len(places)
    plain = np.mean(_regressed(z, score[:, block], weights[:, :1], regressors)[1] ** 2)
    found, _ = _regressed(z, score[:, block], weights, regressors)
    matrices = np.stack([_clipped(part[first:]) for part in found])
    matrices[0] += FLOOR * np.eye(len(block))
    at = z[:, block]
    pull = np.einsum("nk,kij,nj->ni", weights, matrices, at)
    shift, left = _regressed(z, score[:, block] + pull, weights, regressors[:, :first])
    shift = np.swapaxes(shift, 1, 2)
    factor = np.linalg.cholesky(np.einsum("nk,kij->nij", weights, matrices))
    moved = np.einsum("nk,kil,nl->ni", weights, shift, regressors[:, :first])
    u = np.einsum("nij,ni->nj", factor, at) - np.linalg.solve(factor, moved[..., None])[..., 0]
    pulled = np.linalg.solve(factor, score[:, block][..., None])[..., 0]
    sizes = np.sqrt(np.mean(pulled**2, axis=0) * np.mean(u**2, axis=0))
    explained = float(np.min(-np.mean(pulled * u, axis=0) / np.maximum(sizes, 1e-300)))
    return (matrices, shift), explained, float(plain / max(np.mean(left**2), 1e-300))


def _clipped(matrix) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _assembled(chosen, scales, places, center, unit, exponents) -> BlockMap:
    dim, terms, width = len(center), len(exponents), max(len(block) for block, _ in chosen)
    members = np.full((len(chosen), width), dim)
    precision = np.zeros((terms, len(chosen), width, width))
    precision[0] = np.eye(width)
    shift = np.zeros((terms, len(chosen), width, 1 + len(places)))
    for row, (block, (matrices, moved)) in enumerate(chosen):
        size = len(block)
        members[row, :size] = block
        precision[:, row, :size, :size], shift[:, row, :size] = matrices, moved
    return BlockMap(
        members, np.array(scales, int), np.array(places, int), center, unit, exponents, precision, shift
    )  # fmt: skip
