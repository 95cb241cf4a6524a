"""What to change where a run could not get enough: sentences that fit the cause, in the user's own modelling language."""

from collections.abc import Sequence

import numpy as np

from monochord.fits import FitResult, Mode
from monochord.rejudge import has_heavy_tails
from monochord.sampling import Draws
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget, NumPyroTarget

SKEWED_SHARE = 0.2  # of a coordinate's score that no Gaussian explains
FLAT_SPREAD = 1e3  # of a coordinate over the fit's own scale
NON_CENTRED_NUMPYRO = 'numpyro.handlers.reparam(model, config={"x": numpyro.infer.reparam.LocScaleReparam(0)}), with the group\'s own site for "x"'
NON_CENTRED_JAX = "sample z ~ N(0, 1) in place of x ~ N(m, s²), and set x = m + s * z inside the log density"


def advice(target: AbstractTarget, fit: FitResult | None, draws: Draws) -> list[str]:
    """Sentences for a run whose chains disagree or whose ESS fell short; empty where nothing is wanting."""
    standing = draws.standing
    fell_short = "before the target ESS" in draws.status
    if not fell_short and (standing is None or (standing.has_mixed and not standing.is_split)):
        return []
    slow = target.names[standing.coordinate] if standing is not None else target.names[0]
    modes = [mode for mode in fit.modes if mode.share > NEGLIGIBLE_MASS] if fit is not None else []
    if len(modes) > 1 or (standing is not None and standing.is_split):
        return [
            "The posterior has separate modes, and chains do not cross between them: each chain describes its own, and how "
            "much of the mass each holds is not known from this run. Break the symmetry that makes them (order the "
            "components, fix a sign), or report the modes one by one."
        ]
    found = []
    if _is_flat(draws, fit):
        found.append(
            f"`{slow}` wanders over a range a thousand times the fit's own scale: the density is nearly flat there. Give it a "
            "proper prior, or remove a parameter that the data do not inform."
        )
    funnel = _funnel(target, fit, draws)
    if funnel is not None:
        how = NON_CENTRED_NUMPYRO if isinstance(target, NumPyroTarget) else NON_CENTRED_JAX
        found.append(
            f"The curvature changes with `{funnel}`, as in a funnel, and no constant metric follows it. If it is the scale of "
            f"a group, write that group non-centred: {how}. With much data in every group, centred is the better form."
        )
    elif has_heavy_tails(fit):
        found.append(
            f"The tails are heavier than any Gaussian's (slowest: `{slow}`). Use a lighter prior where one is Cauchy or Student, "
            "or write a Student t as a normal with a Gamma-distributed precision."
        )
    if not found:
        found.append(_draw_more(draws, slow))
    return found


def modes_in_words(fit: FitResult | None) -> str:
    """What became of the modes of a fit whose run has no chains for each: a sentence, or "none" where it found one."""
    if fit is None or len(fit.modes) < 2:
        return "none"
    left = [mode for mode in fit.modes if mode.share <= NEGLIGIBLE_MASS]
    kept = len(fit.modes) - len(left)
    text = "1 mode." if kept == 1 else f"{kept} modes, whose weights are not estimated."
    return f"{text} {left_out(left)}" if left else text


def left_out(modes: Sequence[Mode]) -> str:
    """A sentence about modes that get no chains."""
    largest = max(mode.share for mode in modes)
    count = "1 more was" if len(modes) == 1 else f"{len(modes)} more were"
    if largest > NEGLIGIBLE_MASS:
        return f"{count} found and not drawn from before the run ended, with up to {largest:.1%} of the mass by ELBO."
    return (
        f"{count} found and left out: at most {largest:.0e} of the mass by ELBO, where {NEGLIGIBLE_MASS} is negligible."
    )


def _funnel(target: AbstractTarget, fit: FitResult | None, draws: Draws) -> str | None:
    """The coordinate that the curvature changes with, where the evidence is of a funnel."""
    if draws.evidence is not None and draws.evidence.share.value > SKEWED_SHARE:
        return target.names[draws.evidence.coordinate]
    if fit is not None and fit.worst_coordinate is not None and fit.worst_coordinate[1].value > SKEWED_SHARE:
        return fit.worst_coordinate[0]
    return None


def _is_flat(draws: Draws, fit: FitResult | None) -> bool:
    if fit is None or fit.gaussian is None or draws.standing is None:
        return False
    index = draws.standing.coordinate
    own = float(np.sqrt(np.asarray(fit.gaussian.metric.diagonal())[index]))
    return float(draws.x[:, :, index].std()) > FLAT_SPREAD * own


def _draw_more(draws: Draws, slow: str) -> str:
    standing, count = draws.standing, draws.num_draws
    if standing is None or not standing.ess > 0:
        return f"Too few draws to tell (slowest: `{slow}`). Allow more: raise the limit, or call `monochord.extend`."
    return (
        f"`{slow}` is the slowest: ESS {standing.ess:.0f} and R̂ up to {standing.r_hat:.3f} after {count} draws a chain. Allow more: "
        "raise the limit that ended the run, or go on from here with `monochord.extend`."
    )
