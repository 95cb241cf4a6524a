"""What the chains run with: chosen by the fit's verdict, overridden by what the user states."""

import dataclasses
import os

import numpy as np

from monochord import sampling
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.learning import refiner
from monochord.metrics import AbstractMetric, Dense, Diagonal, DiagonalMetric, LowRank, LowRankMetric, identity_metric
from monochord.rejudge import contradicts, has_heavy_tails, refuses
from monochord.sampling import REFUSED_ACCEPT, SamplerSettings
from monochord.settings import check_choice, check_count, check_fraction, check_positive
from monochord.spectra import best_diagonal, cost_functional

METRICS = ("auto", "identity", "diagonal", "dense", "low_rank")
FAMILIES = {"diagonal": Diagonal, "dense": Dense, "low_rank": LowRank}
# Wanted acceptance: Stan's default for adapt_delta (reference manual); more where one step size has to serve curvatures that
# differ, since a chain in the stiffer part then rejects for long.
ACCEPT, VARYING_ACCEPT = 0.8, 0.9
TARGET_ESS = 400.0  # of the smallest of bulk and tail ESS: 100 a chain (Vehtari et al. 2021)
MAX_DRAWS = 20_000  # a chain, where nothing is stated
MEMORY_SHARE = 0.4  # of this machine's, for draws whose number is left open
WALLS = 0.01  # of the fit's draws without a finite density: the support then ends within the posterior's reach
GROSS = 3.0  # of the predicted cost: a first metric that is so much worse than its own draws allow is replaced


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """The options of `sample`, checked when made.

    **Raises** `OptionError` for one that is out of range or unknown.
    """

    chains: int = 4
    draws: int | None = None
    kernel: str = "auto"
    metric: str | AbstractMetric = "auto"
    step_size: float | int | None = None
    target_accept: float | None = None
    max_tree_depth: int = 10  # Stan's default
    target_ess: float | int | None = None
    max_draws: int | None = None
    max_gradients: float | int | None = None
    max_time: float | int | None = None
    chain_method: str = "auto"

    def __post_init__(self):
        check_count("chains", self.chains, 1, 10_000)
        for name, value in (("draws", self.draws), ("max_draws", self.max_draws)):
            if value is not None:
                check_count(name, value, 1, 10_000_000)
        if self.draws is not None and self.max_draws is not None:
            raise OptionError(
                "`draws` and `max_draws` are both given. `draws` is a fixed number, `max_draws` the limit of a run that "
                "stops when the ESS is enough. Pass one of them."
            )
        check_count("max_tree_depth", self.max_tree_depth, 1, 20)
        check_choice("kernel", self.kernel, sampling.KERNELS)
        check_choice("chain_method", self.chain_method, sampling.CHAIN_METHODS)
        if not isinstance(self.metric, AbstractMetric):
            check_choice("metric", self.metric, METRICS)
        if self.target_accept is not None:
            check_fraction("target_accept", self.target_accept)
        for name in ("step_size", "target_ess", "max_gradients", "max_time"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))

    @property
    def family(self) -> str | None:
        """The family that a fit made for these options should use."""
        return self.metric if isinstance(self.metric, str) and self.metric in FAMILIES else None

    def wanted_ess(self) -> float | None:
        """The ESS at which to stop; None for a fixed number of draws."""
        if self.target_ess is None:
            return TARGET_ESS if self.draws is None else None
        return float(self.target_ess)

    def most_draws(self, dim: int, in_memory: bool = True) -> int:
        """The limit on draws a chain; of those kept `in_memory`, within this machine's where the number is left open.

        **Raises** `OptionError` when a stated number would not fit.
        """
        stated = self.draws or self.max_draws
        return _fitting(self.chains, stated, dim) if in_memory else stated or MAX_DRAWS


def _fitting(chains: int, draws: int | None, dim: int) -> int:
    size = 16.0 * chains * dim  # a draw in memory, and once more while all are put together
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return draws or MAX_DRAWS
    if draws is None:
        return int(np.clip(MEMORY_SHARE * available / size, 1, MAX_DRAWS))
    if size * draws > 0.8 * available:
        raise OptionError(
            f"{chains} chains of {draws} draws in {dim} dimensions need {size * draws / 2**30:.0f} GiB, but this machine has "
            f"{available / 2**30:.0f} GiB. Draws are kept in memory. Ask for fewer draws, set `target_ess`, or pass `store=`."
        )
    return draws


def plan(
    names: tuple[str, ...],
    fit: FitResult | None,
    gaussian: Gaussian,
    options: SampleOptions,
    has_initial: bool,
    in_memory: bool = True,
) -> tuple[SamplerSettings, AbstractMetric, Gaussian]:
    """Settings of the chains, the metric they begin with, and what is believed of the posterior's scales.

    `fit` is None for a run without one, where `gaussian` says nothing of scales. `names` are the target's. Draws that are
    not kept `in_memory` need not fit there.
    """
    if isinstance(options.metric, AbstractMetric) or options.metric == "identity":
        stated = options.metric if isinstance(options.metric, AbstractMetric) else identity_metric(gaussian.dim)
        families, chosen = (), stated
    else:
        families, chosen = _families_and_metric(options.metric, gaussian, fit)
    if chosen.dim != gaussian.dim:
        raise OptionError(
            f"`metric` has {chosen.dim} coordinates, but the target has {gaussian.dim}. A metric is the posterior covariance of "
            "all unconstrained coordinates. Pass one of that size, or a name."
        )
    verdict = fit.verdict if fit is not None else "no fit"
    residual = fit.score_residual.value if fit is not None and fit.score_residual is not None else 1.0
    believed = gaussian
    if families and verdict != "trust" and fit is not None:
        sane = _sane(gaussian, chosen, fit, families)
        if sane is not chosen:
            chosen, believed = sane, Gaussian(gaussian.mean, sane)
    trusted = not families or (verdict == "trust" and not has_initial)
    settings = SamplerSettings(
        num_chains=options.chains,
        num_draws=options.most_draws(gaussian.dim, in_memory),
        kernel=options.kernel,
        target_accept=options.target_accept or wanted_acceptance(fit),
        raises_accept=options.target_accept is None,
        has_walls=fit is not None and fit.draws is not None and bool(np.mean(~fit.draws.finite()) > WALLS),
        max_tree_depth=options.max_tree_depth,
        is_trusted=trusted,
        residual=residual,
        refine=refiner(families) if families else None,
        contradicted=(lambda evidence: contradicts(fit, evidence)) if fit is not None else None,
        refused=lambda evidence: refuses(names, evidence),
        # a trusted fit leaves all directions about one period, which HMC of a jittered length is best for: no pilot then
        prefers_hmc=options.kernel == "auto" and options.metric == "auto" and trusted and verdict == "trust",
        allows_pilot=verdict != "do not use" and options.metric != "identity" and not has_heavy_tails(fit),
        step_size=options.step_size,
        target_ess=options.wanted_ess(),
        max_gradients=options.max_gradients or float("inf"),
        max_seconds=options.max_time or float("inf"),
        chain_method=options.chain_method,
    )
    return settings, chosen, believed


def wanted_acceptance(fit: FitResult | None) -> float:
    """The mean acceptance to aim at, by the verdict on a fit."""
    if fit is None or fit.verdict == "trust":
        return ACCEPT
    if fit.verdict == "do not use":
        return REFUSED_ACCEPT
    return VARYING_ACCEPT if fit.indefinite_share is not None and fit.indefinite_share.value > 0 else ACCEPT


def _sane(gaussian: Gaussian, metric: AbstractMetric, fit: FitResult, families) -> AbstractMetric:
    """`metric`, unless the fit's own draws and scores say that it is wrong by a factor that no theory of fits explains.

    On draws of the fit C(M) prefers fitted metrics even where they are the worst; it is asked only for gross errors.
    """
    draws = fit.draws
    if draws is None:
        return metric
    pairs = np.arange(len(draws.x)) % max(1, len(draws.x) // 2)  # both members of an antithetic pair in one half
    finite = draws.finite()
    learned = refiner(families)(Gaussian(gaussian.mean, metric), draws.take(finite), pairs[finite]).metric
    if learned is metric:
        return metric
    before, after = (cost_functional(m, draws.take(finite), folds=2).value for m in (metric, learned))
    return learned if before > GROSS * after else metric


def _families_and_metric(name, gaussian: Gaussian, fit: FitResult | None):
    """The families in which warm-up learns, simplest first, and the first metric.

    A fit that is refused gives a diagonal at most: the better of isotropic and diagonal by the predicted cost C(M),
    which on a funnel tells the worst metric, though not the best. Dense is learnt from the draws there where they earn it.
    """
    fitted = gaussian.metric
    own = next((f for f in (Dense, LowRank, Diagonal) if type(fitted).__name__ == f.__name__ + "Metric"), Dense)
    full = LowRank(rank=max(1, fitted.rank)) if isinstance(fitted, LowRankMetric) else Dense()  # none may stand out
    if name == "diagonal":
        return (Diagonal(),), fitted if own is Diagonal else best_diagonal(fitted)
    if name != "auto":
        return (full if own is not Diagonal else FAMILIES[name](),), fitted
    if fit is None:
        from monochord.fits import default_family

        return (Diagonal(), default_family(gaussian.dim)), fitted
    if fit.verdict == "do not use":
        plain = [choice for choice in fit.choices if isinstance(choice.metric, DiagonalMetric)]
        chosen = min(plain, key=lambda choice: choice.score).metric if plain else best_diagonal(fitted)
        return ((Diagonal(),) if own is Diagonal else (Diagonal(), full)), chosen
    return (Diagonal() if own is Diagonal else full,), fitted
