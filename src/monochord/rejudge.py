"""The verdict on a fit, judged again from what a run's own draws and scores say of it."""

from monochord.estimate import Estimate
from monochord.fits import FitResult
from monochord.sampling import Evidence
from monochord.spectra import MIN_GAIN, TRUST_PARETO_K, WIDE_RADIUS, Verdict, judge

RANKS = {"trust": 0, "start only": 1, "do not use": 2}
FIRM = 2.0  # standard errors that the evidence is given in the fit's favour, unless three chains in four agree


def rejudged(fit: FitResult, evidence: Evidence | None) -> Verdict:
    """The fit's verdict, or a lower one where the run's evidence firmly disagrees.

    The same limits as for the fit's own draws, applied to the residual and the least explained coordinate over posterior
    draws, as far as they are firm. Evidence can lower a verdict and never lift it.
    """
    if evidence is None:
        return fit.judgement
    found = _judged(fit.names, evidence, fit.pareto_k)
    if found.name == "do not use" and evidence.gain > MIN_GAIN:  # poorly described, and the metric still helps
        found = Verdict("start only", found.reasons)
    if RANKS[found.name] <= RANKS[fit.verdict]:
        return fit.judgement
    said = (
        f"The run's own draws disagree with the fit: over them the score residual is {evidence.residual}, and the fit leaves "
        f"{evidence.share} of the score of `{fit.names[evidence.coordinate]}` unexplained; no metric at all is predicted to cost "
        f"{evidence.gain:.1f} times as much as the fit's."
    )
    return Verdict(found.name, (said, *fit.reasons))


def contradicts(fit: FitResult, evidence: Evidence) -> bool:
    """Whether a run's evidence firmly takes the fit's trust away."""
    return fit.verdict == "trust" and rejudged(fit, evidence).name != "trust"


def has_heavy_tails(fit: FitResult | None) -> bool:
    """Whether the density is wider along rays than any Gaussian's, or the importance ratios have no usable variance."""
    if fit is None:
        return False
    wide = fit.radial_spread is not None and fit.radial_spread.value > WIDE_RADIUS
    heavy = fit.pareto_k is not None and fit.pareto_k.value > TRUST_PARETO_K + fit.pareto_k.standard_error
    return wide or heavy


def refuses(names: tuple[str, ...], evidence: Evidence) -> bool:
    """Whether posterior draws firmly say that the Gaussian they were held against is of no use."""
    return _judged(names, evidence, None).name == "do not use"


def _judged(names: tuple[str, ...], evidence: Evidence, pareto_k: Estimate | None) -> Verdict:
    residual = _firm(evidence.residual, evidence.residual_floor)
    share = _firm(evidence.share, evidence.share_floor)
    return judge(residual, pareto_k, True, "", 0.0, (names[evidence.coordinate], share))


def _firm(estimate: Estimate, floor: float) -> Estimate:
    error = estimate.standard_error if estimate.standard_error == estimate.standard_error else 0.0
    return Estimate(max(estimate.value - FIRM * error, floor, 0.0), 0.0, estimate.num_draws)
