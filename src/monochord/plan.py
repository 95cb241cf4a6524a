"""What the chains run with: chosen by the fit's verdict, overridden by what the user states."""

import dataclasses
import os

import numpy as np

from monochord import fits, sampling
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, Dense, Diagonal, DiagonalMetric, LowRank, LowRankMetric, identity_metric
from monochord.sampling import SamplerSettings
from monochord.settings import check_choice, check_count, check_fraction, check_positive
from monochord.spectra import best_diagonal

METRICS = ("auto", "identity", "diagonal", "dense", "low_rank")
FAMILIES = {"diagonal": Diagonal, "dense": Dense, "low_rank": LowRank}
# Warm-up windows a chain, in iterations, by verdict. A trusted metric needs none.
WINDOWS = {"trust": (), "start only": (20, 20, 40, 40), "do not use": (50, 50, 100, 100, 200)}


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """The options of `sample`, checked when made.

    **Raises** `OptionError` for one that is out of range or unknown.
    """

    chains: int = 4
    draws: int = 1000
    kernel: str = "nuts"
    metric: str | AbstractMetric = "auto"
    step_size: float | None = None
    target_accept: float = 0.8  # Stan's default for adapt_delta (reference manual)
    max_tree_depth: int = 10  # Stan's default
    target_ess: float | None = None

    def __post_init__(self):
        check_count("chains", self.chains, 1, 10_000)
        check_count("draws", self.draws, 1, 10_000_000)
        check_count("max_tree_depth", self.max_tree_depth, 1, 20)
        check_choice("kernel", self.kernel, sampling.KERNELS)
        if not isinstance(self.metric, AbstractMetric):
            check_choice("metric", self.metric, METRICS)
        check_fraction("target_accept", self.target_accept)
        for name, value in (("step_size", self.step_size), ("target_ess", self.target_ess)):
            if value is not None:
                check_positive(name, value)

    @property
    def family(self) -> str | None:
        """The family that a fit made for these options should use."""
        return self.metric if isinstance(self.metric, str) and self.metric in FAMILIES else None


def check_memory(chains: int, draws: int, dim: int) -> None:
    """**Raises** `OptionError` when the draws would not fit into this machine's memory."""
    wanted = 16.0 * chains * draws * dim  # draws in memory, and once more while they are put together
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return
    if wanted > 0.8 * available:
        raise OptionError(
            f"{chains} chains of {draws} draws in {dim} dimensions need {wanted / 2**30:.0f} GiB, but this machine has "
            f"{available / 2**30:.0f} GiB. Draws are kept in memory. Ask for fewer draws, or set `target_ess`."
        )


def plan(result: FitResult, gaussian: Gaussian, options: SampleOptions, has_initial: bool):
    """Settings of the chains and their first metric, by the verdict and what the user stated."""
    refine, windows, fallback = None, (), ()
    if isinstance(options.metric, AbstractMetric):
        chosen = options.metric
    elif options.metric == "identity":
        chosen = identity_metric(gaussian.dim)
    else:
        family, chosen = _family_and_metric(options.metric, gaussian, result)
        refine = _refiner(family)
        fallback = WINDOWS["start only"]
        windows = fallback if result.verdict == "trust" and has_initial else WINDOWS[result.verdict]
    if chosen.dim != gaussian.dim:
        raise OptionError(
            f"`metric` has {chosen.dim} coordinates, but the target has {gaussian.dim}. A metric is the posterior covariance of "
            "all unconstrained coordinates. Pass one of that size, or a name."
        )
    settings = SamplerSettings(
        num_chains=options.chains,
        num_draws=options.draws,
        kernel=options.kernel,
        target_accept=options.target_accept,
        max_tree_depth=options.max_tree_depth,
        windows=windows,
        fallback=fallback,
        refine=refine,
        step_size=options.step_size,
        target_ess=options.target_ess,
    )
    return settings, chosen


def _family_and_metric(name, gaussian: Gaussian, result: FitResult):
    """The family that warm-up refines in, and its first metric.

    A fit that is refused gives a diagonal at most: the better of isotropic and diagonal by the predicted cost C(M),
    which on a funnel tells the worst metric, though not the best.
    """
    fitted = gaussian.metric
    own = next((f for f in (Dense, LowRank, Diagonal) if type(fitted).__name__ == f.__name__ + "Metric"), Dense)
    if name == "auto" and result.verdict == "do not use":
        plain = [choice for choice in result.choices if isinstance(choice.metric, DiagonalMetric)]
        if plain:
            return Diagonal(), min(plain, key=lambda choice: choice.score).metric
    if name == "diagonal" or (name == "auto" and result.verdict == "do not use") or own is Diagonal:
        return Diagonal(), fitted if own is Diagonal else best_diagonal(fitted)
    return (LowRank(rank=fitted.rank) if isinstance(fitted, LowRankMetric) else Dense()), fitted


def _refiner(family):
    """The score match with as many pseudo-draws of the prior as the family has degrees of freedom a row."""

    def refine(gaussian: Gaussian, points) -> Gaussian:
        freedom = {"diagonal": 1, "low_rank": 1 + getattr(family, "rank", 0), "dense": gaussian.dim}[family.name]
        strength = len(points.x) / (10.0 + 2.0 * freedom)
        try:
            return fits.match(family, gaussian, points.take(points.finite()), strength)
        except (np.linalg.LinAlgError, ValueError):
            return gaussian

    return refine
