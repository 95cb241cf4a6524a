"""The verdict on a fit: may its metric be trusted, used as a start, or not at all."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from monochord.estimate import Estimate

VerdictName = Literal["trust", "start only", "do not use"]

# Score residuals seen: Gaussian below .01, near-Gaussian regressions .002–.05, hierarchies .03–.12,
# a funnel .15, Rosenbrock pairs .5, a horseshoe above 1.
TRUST_RESIDUAL = 0.1
START_RESIDUAL = 0.45
# Unexplained share of one coordinate's score: regressions and GLMs below .05; heavy log scales that mix
# badly under a frozen metric .3 and above; a horseshoe 30.
TRUST_COORDINATE = 0.2
START_COORDINATE = 2.0
HOPELESS = 10.0  # times a limit: refused whatever its error, which is then of the same size
# Indefinite Hessians at this share of draws and more, where the metric gains nothing over none: Neal's funnel (1.0; cost
# without a metric .7–1.5 times that with it), or little where the scores are poorly explained: Rosenbrock pairs (.9–1.0,
# residual .5–.7, gain 1.5–2.3), horseshoe (1.0, .5–1.3, 1.7–2.6). Metrics that help have 1.0 too: centred slopes of 85
# groups (gain 2.1–2.8), stochastic volatility (2.1–3.7), centred eight schools (7–11), Longley's regression (10⁹). Where
# the gain was not looked at, one coordinate decides.
MANY_INDEFINITE = 0.75  # share of draws at which the Hessian has a negative eigenvalue
WITH_RESIDUAL, WITH_COORDINATE = 0.3, 0.75
MIN_GAIN = 1.6  # of a metric over none, where many Hessians are indefinite
MIN_GAIN_POOR = 5.0  # the same where the scores are poorly explained
# Spread of log radius along rays over a Gaussian's 1/√(2 dim): .9 to 1.14 on regressions, GLMs and ODEs, 1.36 to 1.62 on a
# Student t with 3 degrees of freedom in 50 dimensions.
WIDE_RADIUS = 1.25  # times the spread of log radius of a Gaussian: heavy tails
NEGLIGIBLE_MASS = 1e-3  # share of a mode that may be left out
TRUST_PARETO_K = 0.7  # above it importance ratios have no usable variance (Vehtari et al. 2024, JMLR 25(72))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`name` is one of "trust", "start only", "do not use"; `reasons` are sentences."""

    name: VerdictName
    reasons: tuple[str, ...]


def judge(
    residual: Estimate | None,
    pareto_k: Estimate | None,
    finished: bool,
    ending: str,
    nonfinite_share: float = 0.0,
    worst_coordinate: tuple[str, Estimate] | None = None,
    indefinite_share: Estimate | None = None,
    mode_shares: Sequence[float] = (),
    radial_spread: Estimate | None = None,
    gain_over_identity: Estimate | None = None,
) -> Verdict:
    """Verdict from a fit's own evidence.

    Blind to what its draws never reach: other modes, and necks of funnels narrower than the fit.
    """
    if residual is None or not math.isfinite(residual.value):
        return Verdict("do not use", (ending, "No Gaussian with a finite score residual was found."))
    doubts, refusals = [], []
    if not finished:
        doubts.append(ending)
    text = f"The score residual is {residual} (0 for a Gaussian target)"
    if residual.value - 2 * residual.standard_error > START_RESIDUAL or residual.value > HOPELESS * START_RESIDUAL:
        refusals.append(f"{text}: no linear preconditioner fits this posterior.")
    elif not residual.value + 2 * residual.standard_error <= TRUST_RESIDUAL:  # NaN is no ground for trust
        doubts.append(f"{text}: the posterior is visibly not Gaussian.")
    if worst_coordinate is not None:
        name, share = worst_coordinate
        sentence = f"The fit leaves {share} of the score of `{name}` unexplained: it is not Gaussian given the others"
        if share.value - 2 * share.standard_error > START_COORDINATE or share.value > HOPELESS / 2 * START_COORDINATE:
            refusals.append(f"{sentence}, and no linear preconditioner helps it.")
        elif share.value > TRUST_COORDINATE:
            doubts.append(f"{sentence}.")
    if pareto_k is None or math.isnan(pareto_k.value):
        doubts.append("Pareto k̂ could not be estimated: too few of the fit's draws have a finite density.")
    elif pareto_k.value > TRUST_PARETO_K + pareto_k.standard_error:
        doubts.append(f"Pareto k̂ is {pareto_k}: the posterior has tails or corners that the fit misses.")
    if indefinite_share is not None and indefinite_share.value > 0:
        text = f"The Hessian is indefinite at {indefinite_share.value:.0%} of the fit's draws"
        sentence = f"{text}: the curvature turns over within the posterior, as in funnels and skewed scales."
        if gain_over_identity is not None:
            useless = gain_over_identity.value < (MIN_GAIN if residual.value <= WITH_RESIDUAL else MIN_GAIN_POOR)
            sentence += f" Moved off the fit, no metric at all is predicted to cost {gain_over_identity} times as much as this one."
        else:
            unexplained = worst_coordinate is not None and worst_coordinate[1].value > WITH_COORDINATE
            useless = unexplained or residual.value > WITH_RESIDUAL
        (refusals if useless and indefinite_share.value >= MANY_INDEFINITE else doubts).append(sentence)
    if radial_spread is not None and radial_spread.value > WIDE_RADIUS:
        doubts.append(
            f"Along rays from its mean the density is {radial_spread} times as wide in log radius as a Gaussian's: its tails "
            "are heavy, and the fit's own draws never see them."
        )
    minor = sum(mode_shares[1:])
    if minor > NEGLIGIBLE_MASS:
        doubts.append(
            f"The starts ended in {len(mode_shares)} separate modes, the others with about {minor:.1%} of the mass: the fit "
            "describes the highest one only."
        )
    if nonfinite_share > 0.01:
        doubts.append(f"The density is zero or not a number at {nonfinite_share:.0%} of the fit's draws.")
    if refusals:
        return Verdict("do not use", tuple(refusals + doubts))
    if doubts:
        return Verdict("start only", tuple(doubts))
    return Verdict("trust", (f"{text} and Pareto k̂ is {pareto_k}: close to Gaussian.",))
