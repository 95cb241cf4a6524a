"""Starts of the chains: distinct draws of the fit, resampled by importance where that is safe, or points the user gave."""

from collections.abc import Sequence

import numpy as np

from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.gaussian import Gaussian
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes, join

ROUNDS = 10
USABLE_PARETO_K = 0.7  # above it importance ratios have no usable variance (Vehtari et al. 2024, JMLR 25(72))
BOX = 2.0  # Stan's default for starts without a fit: uniform(-2, 2) on unconstrained space


def resampled(
    gaussian: Gaussian, known: Evaluations, pareto_k: float | None, rng: np.random.Generator, num_chains: int
) -> np.ndarray:
    """Indices of `num_chains` distinct ones of `known` draws of `gaussian`, those of finite density only.

    With k̂ at most `USABLE_PARETO_K` they are chosen by importance, without replacement, so that chains begin in the
    posterior's own bulk; otherwise evenly, as a few huge ratios would put all chains into one corner. Fewer than
    `num_chains` where there are not enough.
    """
    places = np.flatnonzero(known.finite())
    log_ratios = known.log_density[places] - np.asarray(gaussian.log_prob(known.x[places]))
    if pareto_k is None or not pareto_k <= USABLE_PARETO_K:
        log_ratios = np.zeros(len(places))
    noise = rng.gumbel(size=len(places))  # the largest of log weight + Gumbel noise: sampling without replacement
    return places[np.argsort(-(log_ratios + noise))[:num_chains]]


def chain_starts(
    target: AbstractTarget, gaussian: Gaussian, rng: np.random.Generator, num_chains: int
) -> tuple[Evaluations, Cost]:
    """`num_chains` distinct draws of `gaussian` with finite density and score.

    **Raises** `ModelError` when `ROUNDS` batches, drawn ever closer to the mean, hold too few of them.
    """
    return _first_finite(
        target, lambda shrink: gaussian.place(shrink * rng.standard_normal((num_chains, gaussian.dim))), num_chains,
        "nearly all of {} draws of the fitted Gaussian",
    )  # fmt: skip


def box_starts(target: AbstractTarget, rng: np.random.Generator, num_chains: int) -> tuple[Evaluations, Cost]:
    """`num_chains` points uniform within `BOX` of the target's centre, for runs without a fit.

    **Raises** `ModelError` as `chain_starts` does.
    """
    centre = np.asarray(target.center, np.float64)
    return _first_finite(
        target, lambda shrink: centre + shrink * rng.uniform(-BOX, BOX, (num_chains, target.dim)), num_chains,
        "nearly all of {} points about the centre",
    )  # fmt: skip


def _first_finite(target, propose, num_chains: int, where: str) -> tuple[Evaluations, Cost]:
    found: list[Evaluations] = []
    cost = Cost()
    for attempt in range(ROUNDS):
        points = evaluate(target, propose(0.7**attempt))
        cost += Cost(num_chains, idle_lanes(num_chains))
        found.append(points.take(points.finite()))
        pool = join(found)
        if len(pool.x) >= num_chains:
            return pool.take(np.arange(num_chains)), cost
    raise ModelError(
        f"the density is zero or not a number at {where.format(cost.gradients)}. Chains need finite starts. Pass "
        "`initial=` with points of positive density, and check the model there."
    )


def given_starts(target: AbstractTarget, initial: np.ndarray, num_chains: int) -> tuple[Evaluations, Cost]:
    """The user's points, repeated if there are fewer than chains.

    **Raises** `ModelError` when one of them has no finite density or score.
    """
    x = np.atleast_2d(initial)
    x = x[np.arange(num_chains) % len(x)]
    points = evaluate(target, x)
    finite = points.finite()
    if not finite.all():
        index = int(np.flatnonzero(~finite)[0])
        raise ModelError(
            f"`initial` gives chain {index} a start with log density {points.log_density[index]} or a gradient that "
            "is not finite. A chain cannot leave such a point. Pass a start inside the support."
        )
    return points, Cost(num_chains, idle_lanes(num_chains))


def shared_out(num_chains: int, shares: Sequence[float]) -> list[int]:
    """Chains for each mode: in proportion to its mass, and one at least for each as far as there are chains."""
    shares = list(shares)[: max(1, num_chains)]
    counts = [1] * len(shares)
    while sum(counts) < num_chains:
        lacking = [share / (count + 1) for share, count in zip(shares, counts, strict=True)]
        counts[int(np.argmax(lacking))] += 1
    return counts
