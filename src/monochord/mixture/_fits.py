"""A fit for each mode, in regions that are made from those fits."""

import dataclasses

import numpy as np

from monochord import fits, pipeline
from monochord.arguments import gaussian_of
from monochord.arrays import Key, fold_key
from monochord.cost import Cost
from monochord.fits import FitResult, FitStatus, Mode
from monochord.mapping import with_map
from monochord.mixture._base import Asked, GivenUp, gaussian_at
from monochord.modes import Regions, regions_of
from monochord.progress import Reporter
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget, Evaluations

MAX_FITS, MOVED = 3, 0.05  # rounds of fits, and the share of a mode's draws that may change hands without another


def fitted(
    key: Key, target: AbstractTarget, modes: list[Mode], known: FitResult, asked: Asked, report: Reporter
) -> tuple[Regions, tuple[AbstractTarget, ...], list[FitResult], Cost]:
    """Regions from the fits made in them, the targets there, the fits, and what they cost.

    Regions of crude Gaussians are true but may hand a part of one mode to another. They are made anew from the fits, and the
    fits repeated where that moves much of the mass. **Raises** `GivenUp` where a mode has no fit.
    """
    gaussians, shares = [gaussian_at(mode, known) for mode in modes], [mode.share for mode in modes]
    regions, parts = regions_of(target, gaussians, shares)
    spent = Cost()
    for number in range(MAX_FITS):
        found = []
        for k, (part, gaussian) in enumerate(zip(parts, gaussians, strict=True)):
            algorithm = pipeline.algorithm_for(asked.options.family, gaussian)
            fit = fits.run(fold_key(fold_key(key, number), k), part, algorithm, callback=report.fit_step)
            spent += fit.cost
            if fit.gaussian is None or fit.elbo is None or fit.draws is None or fit.status is FitStatus.diverged:
                raise GivenUp(f"Mode {k + 1} of {len(parts)} has no fit of its own.", spent)
            found.append(fit)
        gaussians = [gaussian_of(fit) for fit in found]
        elbos = np.array([fit.elbo.value for fit in found])
        shares = np.exp(np.maximum(elbos - elbos.max(), np.log(NEGLIGIBLE_MASS)))
        old, (regions, parts) = regions, regions_of(target, gaussians, list(shares / shares.sum()))
        if _moved(old, regions, found) < MOVED:
            break
    return regions, parts, [_carried_over(fit, old, regions, k) for k, fit in enumerate(found)], spent


def _moved(old: Regions, new: Regions, found: list[FitResult]) -> float:
    """The largest share of a mode's draws that changes hands."""
    changes = [
        np.exp(new.log_shares(f.draws.x)) - np.exp(old.log_shares(f.draws.x)) for f in found if f.draws is not None
    ]
    return max(float(np.mean(np.sum(np.abs(change), axis=-1))) / 2.0 for change in changes)


def _carried_over(fit: FitResult, old: Regions, new: Regions, k: int) -> FitResult:
    """`fit` with the densities and scores of its draws as they are in the new region; that takes no gradient."""
    assert fit.draws is not None
    x, log_density, score = fit.draws
    log_density = log_density + new.log_shares(x)[:, k] - old.log_shares(x)[:, k]
    check = Evaluations(x, log_density, score + new.score(x, k) - old.score(x, k))
    return dataclasses.replace(fit, state=dataclasses.replace(fit.state, check=check))


def mapped_fits(key: Key, parts, found: list[FitResult], report: Reporter) -> tuple[list[FitResult], Cost]:
    """The fits along learned maps where those pay, and what looking for them has cost."""
    better, spent = [], Cost()
    for k, (part, fit) in enumerate(zip(parts, found, strict=True)):
        algorithm = pipeline.algorithm_for(None)
        chosen = with_map(fold_key(key, k), part, fit, algorithm, report.fit_step)
        spent += Cost(*(a - b for a, b in zip(chosen.cost, fit.cost, strict=True)))
        better.append(chosen)
    return better, spent
