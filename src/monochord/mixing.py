"""ESS, R̂ and Pareto k̂ on plain arrays, all coordinates at once: the numbers of ArviZ, without its time to import.

A run looks at them while it draws. ArviZ computes them one coordinate after the other and takes most of a second to
import, more than a small model takes to fit and sample; `tests/test_mixing.py` holds every number against ArviZ's.
"""

import numpy as np
from jaxtyping import Float

TAIL = (0.05, 0.95)  # tail ESS is that of these quantiles, the smaller of both; arviz-stats' own default differs
FEWEST_DRAWS = 4
CHUNK_NUMBERS = 2**18  # of draws that are looked at together: what a processor's cache holds
FEWEST_TAIL = 5  # values that a generalised Pareto distribution is fitted to

Draws = Float[np.ndarray, "chains draws dim"]
Each = Float[np.ndarray, " dim"]


def bulk_and_tail_ess(x: Draws) -> tuple[Each, Each]:
    """Bulk and tail ESS of each coordinate (Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, section 4).

    NaN where there are fewer than 4 draws a chain or values that are not numbers; the number of draws where nothing varies.
    """
    bulk, tail = _each(x, lambda part: np.stack([_ess(_normal_scores(_split(part))), _tail_ess(part)]), 2)
    return bulk, tail


def bulk_ess(x: Draws) -> Each:
    """Bulk ESS of each coordinate; 0 where it cannot be told."""
    return np.nan_to_num(_each(x, lambda part: _ess(_normal_scores(_split(part)))[None], 1)[0])


def ess_of_means(x: Draws) -> Each:
    """ESS of the mean of each coordinate; 0 where it cannot be told."""
    return np.nan_to_num(_each(x, lambda part: _ess(_split(part))[None], 1)[0])


def bulk_tail_and_r_hat(x: Draws) -> tuple[Each, Each, Each]:
    """Bulk and tail ESS, and rank-normalised split R̂, the larger of the bulk's and the folded one (ibid., section 4).

    R̂ is NaN where there are fewer than 2 chains or 4 draws, or where nothing varies.
    """
    bulk, tail, r_hat = _each(x, _all_three, 3)
    return bulk, tail, r_hat


def convergence(x: Draws) -> tuple[Each, Each]:
    """Smaller of bulk and tail ESS, and R̂, of each coordinate; NaN for coordinates that never change."""
    bulk, tail, r_hat = bulk_tail_and_r_hat(x)
    moving = np.ptp(x, axis=(0, 1)) > 0
    ess = np.where(moving, np.minimum(np.nan_to_num(bulk), np.nan_to_num(tail)), np.nan)
    return ess, np.where(moving, r_hat, np.nan)


def pareto_shape(log_ratios: Float[np.ndarray, " draws"]) -> float:
    """Pareto shape k̂ of importance ratios exp(`log_ratios`) (Vehtari, Simpson, Gelman, Yao & Gabry 2024, appendix F).

    NaN where fewer than 5 values are in the tail, or all are the same.
    """
    log_ratios = np.sort(np.asarray(log_ratios, dtype=np.float64).ravel())
    count = log_ratios.size
    in_tail = int(3.0 * np.sqrt(count)) if count > 225 else count // 5
    if in_tail < FEWEST_TAIL or not np.isfinite(log_ratios[-1]) or np.isnan(log_ratios[0]):
        return float("nan")
    ratios = np.exp(log_ratios - log_ratios[-1])
    cutoff, tail = ratios[-in_tail - 1], ratios[-in_tail:]
    if log_ratios[-1] == log_ratios[-in_tail]:
        return float("nan")
    with np.errstate(all="ignore"):
        return _generalised_pareto_shape(tail - cutoff)


def _generalised_pareto_shape(excess: np.ndarray) -> float:
    """Empirical Bayes shape of sorted exceedances (Zhang & Stephens 2009, Technometrics 51), drawn towards ½ as by 10 more."""
    count = excess.size
    grid_size = 30 + int(np.sqrt(count))
    grid = 1.0 - np.sqrt(grid_size / (np.arange(1, grid_size + 1) - 0.5))
    grid = grid / (3.0 * excess[int(count / 4 + 0.5) - 1]) + 1.0 / excess[-1]
    shapes = np.mean(np.log1p(-grid[:, None] * excess), axis=1)
    log_weights = count * (np.log(-grid / shapes) - shapes - 1.0)
    weights = np.exp(log_weights - np.max(log_weights))
    weights = weights / weights.sum()
    kept = weights >= 10 * np.finfo(float).eps
    posterior = np.sum(grid[kept] * weights[kept]) / np.sum(weights[kept])
    shape = np.mean(np.log1p(-posterior * excess))
    return float((count * shape + 10 * 0.5) / (count + 10))


def _each(x: np.ndarray, statistics, count: int) -> np.ndarray:
    """`count` statistics of coordinates first, (dim, chains, draws), a part of them at a time; NaN where they have no meaning."""
    dim, (chains, draws) = x.shape[2], x.shape[:2]
    found = np.full((count, dim), np.nan)
    if draws < FEWEST_DRAWS or not chains:
        return found
    size = max(1, CHUNK_NUMBERS // (chains * draws))
    with np.errstate(all="ignore"):
        for start in range(0, dim, size):
            part = np.ascontiguousarray(np.moveaxis(x[:, :, start : start + size], 2, 0), dtype=np.float64)
            known = ~np.isnan(part).any(axis=(1, 2))
            if known.any():
                found[:, start : start + size][:, known] = statistics(part[known])
    return found


def _all_three(x: np.ndarray) -> np.ndarray:
    halves = _split(x)
    scores = _normal_scores(halves)
    if len(x[0]) < 2:
        return np.stack([_ess(scores), _tail_ess(x), np.full(len(x), np.nan)])
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    r_hat = np.maximum(_plain_r_hat(scores), _plain_r_hat(_normal_scores(folded)))
    return np.stack([_ess(scores), _tail_ess(x), r_hat])


def _split(x: np.ndarray) -> np.ndarray:
    """Each chain as two, the middle draw of an odd number left out."""
    half = x.shape[2] // 2
    return np.concatenate([x[:, :, :half], x[:, :, -half:]], axis=1)


def _ess(x: np.ndarray) -> np.ndarray:
    """ESS of means of (dim, chains, draws) by Geyer's initial monotone sequence over all chains (Stan reference manual, 16.4)."""
    dim, chains, draws = x.shape
    total = chains * draws
    size = 2 ** int(np.ceil(np.log2(2 * draws)))
    centred = x - x.mean(axis=2, keepdims=True)
    spectrum = np.fft.rfft(centred, n=size, axis=2)
    covariance = np.fft.irfft((spectrum * spectrum.conj()).mean(axis=1), n=size, axis=1)[:, :draws] / draws
    within = covariance[:, 0] * draws / (draws - 1.0)
    variance = covariance[:, 0] + (np.var(x.mean(axis=2), axis=1, ddof=1) if chains > 1 else 0.0)
    correlation = 1.0 - (within[:, None] - covariance) / variance[:, None]
    correlation[:, 0] = 1.0
    last = max(0, (draws - 1) // 2 - 1)  # pairs beyond it are not looked at
    even, odd = correlation[:, 0 : 2 * last + 1 : 2], correlation[:, 1 : 2 * last + 2 : 2]
    pairs = even + odd
    ends = pairs <= 0.0
    end = np.where(ends.any(axis=1), np.argmax(ends, axis=1), last)
    kept = np.arange(last + 1) < end[:, None]
    smooth = np.minimum.accumulate(pairs, axis=1)
    at_end = np.take_along_axis(even, end[:, None], axis=1)[:, 0]
    sum_at_end = np.take_along_axis(pairs, end[:, None], axis=1)[:, 0]
    beyond = np.where((at_end > 0.0) | (sum_at_end >= 0.0), at_end, 0.0)
    time = -1.0 + 2.0 * np.sum(np.where(kept, smooth, 0.0), axis=1) + beyond
    ess = total / np.maximum(time, 1.0 / np.log10(total))
    ess = np.where(np.isnan(correlation).any(axis=1), np.nan, ess)
    return np.where(np.ptp(x, axis=(1, 2)) < np.finfo(float).resolution, float(total), ess)


def _tail_ess(x: np.ndarray) -> np.ndarray:
    low, high = np.quantile(x, TAIL, axis=(1, 2))
    below = (_ess(_split((x <= bound[:, None, None]).astype(float))) for bound in (low, high))
    return np.minimum(*below)


def _plain_r_hat(x: np.ndarray) -> np.ndarray:
    draws = x.shape[2]
    between = draws * np.var(x.mean(axis=2), axis=1, ddof=1)
    within = np.mean(np.var(x, axis=2, ddof=1), axis=1)
    return np.sqrt((between / within + draws - 1.0) / draws)


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks over all chains, ties at their average rank (Blom's offset)."""
    from scipy.special import ndtri

    flat = x.reshape(len(x), -1)
    size = flat.shape[1]
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    new = np.concatenate([np.ones((len(x), 1), bool), ordered[:, 1:] != ordered[:, :-1]], axis=1)
    place = np.arange(size)
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((len(x), 1), bool)], axis=1)
    final = np.minimum.accumulate(np.where(ends, place, size)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty_like(flat)
    np.put_along_axis(ranks, order, 0.5 * (first + final) + 1.0, axis=1)
    return ndtri((ranks - 0.375) / (size + 0.25)).reshape(x.shape)
