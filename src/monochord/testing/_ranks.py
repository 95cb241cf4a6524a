"""Simulation-based calibration: are ranks uniform? With both error rates."""

from functools import cache

import numpy as np
from scipy import stats

ORDER = 4  # shift, spread, skewness and tails of the ranks


def assert_ranks_uniform(
    ranks, num_draws: int, *, must_detect_shift: float, must_detect_scale: float,
    false_fail: float = 1e-6, false_pass: float = 1e-3,
) -> None:  # fmt: skip
    """Fail if ranks of true values among posterior draws are not uniform, or if N ranks could not tell.

    Neyman's smooth test (1937): with p₁ … p₄ the polynomials orthonormal under the uniform law on 0 … L,

        S = N Σ_k (mean of p_k over the ranks)²      ~ χ² with 4 degrees of freedom if the ranks are uniform.

    - `ranks`: shape (N,) or (N, quantities), integers from 0 to L = `num_draws`. Rows are independent.
    - `must_detect_shift`, `must_detect_scale`: draws wrong by so many posterior sd, or with an sd too large by that
      factor and, in another defect, too small by it. What S becomes under them is computed for a normal posterior
      and independent draws, and so the chance to miss them is known.
    - `false_fail`: probability that right code fails, shared out over the quantities (Bonferroni).
    - `false_pass`: probability that a quantity with one of the defects passes.

    **Raises** `AssertionError`: "Ranks are not uniform ..." or "Test too weak ...".
    """
    ranks = np.asarray(ranks)
    ranks = ranks[:, None] if ranks.ndim == 1 else ranks
    if not ranks.size or ranks.min() < 0 or ranks.max() > num_draws:
        raise AssertionError(f"Ranks are not uniform: they are none, or not between 0 and {num_draws}.")
    polynomials = orthonormal_polynomials(num_draws)
    limit = float(stats.chi2.isf(false_fail / ranks.shape[1], ORDER))
    means = polynomials[ranks].mean(axis=0)
    statistics = len(ranks) * np.sum(means**2, axis=-1)
    if not np.all(statistics <= limit):
        worst = int(np.argmax(statistics))
        parts = ", ".join(f"{value * np.sqrt(len(ranks)):+.1f}" for value in means[worst])
        raise AssertionError(
            f"Ranks are not uniform for {int((statistics > limit).sum())} of {ranks.shape[1]} quantities. Worst is "
            f"quantity {worst}: χ² is {statistics[worst]:.0f}, where {limit:.0f} is allowed (false-fail rate "
            f"{false_fail:g}). Shift, spread, skewness and tails: {parts} standard errors."
        )
    for shift, scale in ((must_detect_shift, 1.0), (0.0, must_detect_scale), (0.0, 1.0 / must_detect_scale)):
        strength = float(np.sum((rank_law(num_draws, shift, scale) @ polynomials) ** 2))
        missed = float(stats.ncx2.cdf(limit, ORDER, max(len(ranks) * strength, 1e-12)))
        if missed > false_pass:
            raise AssertionError(
                f"Test too weak: a shift of {shift:g} sd with an sd of {scale:.3g} slips through {missed:.2g} of the time "
                f"with {len(ranks)} ranks. Draw more, or state a larger defect."
            )


@cache
def orthonormal_polynomials(num_draws: int) -> np.ndarray:
    """Values of p₁ … p₄ at the ranks 0 … L, shape (L + 1, 4)."""
    place = np.linspace(-1.0, 1.0, num_draws + 1)
    basis = np.linalg.qr(np.vander(place, ORDER + 1, increasing=True))[0]
    return basis[:, 1:] * np.sqrt(num_draws + 1)


@cache
def rank_law(num_draws: int, shift: float, scale: float) -> np.ndarray:
    """Law of the rank of a standard normal among `num_draws` independent draws of N(shift, scale²)."""
    quantiles = (np.arange(4000) + 0.5) / 4000
    below = stats.norm.cdf((stats.norm.ppf(quantiles) - shift) / scale)
    return stats.binom.pmf(np.arange(num_draws + 1)[:, None], num_draws, below).mean(axis=1)
