"""A fit for each mode, in regions that are made from those fits."""

import dataclasses

import numpy as np

from monochord import fits, pipeline
from monochord.arguments import gaussian_of
from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.fits import FitResult, FitStatus, Mode
from monochord.mapping import with_map
from monochord.mixture._base import Asked, GivenUp, OneMode, gaussian_at, may_matter, possible_modes
from monochord.modes import Regions, are_joined, regions_of
from monochord.progress import Reporter
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget, Evaluations

MAX_FITS, MOVED = 3, 0.05  # rounds of fits, and the share of a mode's draws that may change hands without another
NUM_STARTS, SPREAD = 4, 0.25  # about a mode, and how far, of the way to the nearest other


@dataclasses.dataclass(frozen=True)
class Part:
    """One mode, the target of its region, and its fit there."""

    mode: Mode
    target: AbstractTarget
    fit: FitResult


def parts_of(
    key: Key, target: AbstractTarget, modes: list[Mode], known: FitResult, asked: Asked, report: Reporter
) -> tuple[Regions, list[Part], list[Mode], Cost]:
    """Regions made from the fits in them, their parts, the modes that turned out to have no mass, and what that cost.

    Regions of crude Gaussians are true but may hand a part of one mode to another. They are made anew from the fits, and the
    fits repeated where that moves much of the mass. **Raises** `GivenUp` where a mode has no fit, `OneMode` where one is left.
    """
    regions, targets = regions_of(target, [gaussian_at(m, known) for m in modes], _shares(modes))
    left, spent = [], Cost()
    for number in range(MAX_FITS):
        found = []
        for k, there in enumerate(targets):
            fit, cost = _fit(fold_key(fold_key(key, number), k), there, modes, k, known, asked, report)
            spent += cost
            if fit is None:
                raise GivenUp(f"Mode {k + 1} of {len(targets)} has no fit of its own.", spent)
            found.append(fit)
        modes = _with_evidence(modes, found)
        kept = [k for k, mode in enumerate(modes) if may_matter(mode, modes, target.dim)]
        left += [mode for k, mode in enumerate(modes) if k not in kept]
        modes, found = [modes[k] for k in kept], [found[k] for k in kept]
        if len(kept) < 2:
            raise OneMode("Looked at more closely, one mode holds all the mass.", spent, [*modes, *left])
        old, (regions, targets) = regions, regions_of(target, [gaussian_of(fit) for fit in found], _shares(modes))
        carried = [_carried_over(fit, old, k, regions, i) for i, (k, fit) in enumerate(zip(kept, found, strict=True))]
        if max(moved for _, moved in carried) < MOVED:
            break
    parts = [Part(*three) for three in zip(modes, targets, [fit for fit, _ in carried], strict=True)]
    return regions, parts, left, spent


def separate(target: AbstractTarget, known: FitResult) -> tuple[list[Mode], Cost]:
    """Modes of `known` that may hold mass, heaviest first, without those that a curved valley joins to a heavier one; and what looking cost.

    **Raises** `OneMode` where one is left.
    """
    kept: list[Mode] = []
    spent = Cost()
    for mode in sorted(possible_modes(known), key=lambda mode: -mode.share):
        for place, other in enumerate(kept):
            is_one, cost = are_joined(target, gaussian_at(other, known), gaussian_at(mode, known))
            spent += cost
            if is_one:
                kept[place] = dataclasses.replace(other, share=other.share + mode.share)
                break
        else:
            kept.append(mode)
    if len(kept) < 2:
        rest = [mode for mode in known.modes if not any(mode is one for one in possible_modes(known))]
        raise OneMode("Looked at more closely, the modes are one curved valley.", spent, [*kept, *rest])
    return kept, spent


def _fit(
    key: Key, there: AbstractTarget, modes: list[Mode], k: int, known: FitResult, asked: Asked, report: Reporter
) -> tuple[FitResult | None, Cost]:
    """The fit of a region from the Gaussian that is known of it; where that is not trusted, the better of it and one from starts about the mode."""
    gaussian, family = gaussian_at(modes[k], known), asked.options.family
    first = fits.run(fold_key(key, 0), there, pipeline.algorithm_for(family, gaussian), callback=report.fit_step)
    if first.verdict == "trust":
        return first, first.cost
    reach = min(float(np.linalg.norm(m.mean - modes[k].mean)) for j, m in enumerate(modes) if j != k)
    rng = host_generator(fold_key(key, 1))
    steps = rng.standard_normal((NUM_STARTS, there.dim)) * SPREAD * reach / np.sqrt(there.dim)
    second = fits.run(
        fold_key(key, 2), there, pipeline.algorithm_for(family), initial=gaussian.mean + steps, callback=report.fit_step
    )
    usable = [fit for fit in (first, second) if _is_usable(fit)]
    best = max(usable, key=lambda fit: fit.elbo.value if fit.elbo is not None else -np.inf, default=None)
    spent = first.cost + second.cost
    return (None if best is None else dataclasses.replace(best, modes=(), cost=spent)), spent


def _is_usable(fit: FitResult) -> bool:
    has_all = fit.gaussian is not None and fit.elbo is not None and fit.draws is not None
    return has_all and fit.status is not FitStatus.diverged and bool(np.isfinite(fit.elbo.value))  # pyright: ignore[reportOptionalMemberAccess]


def _shares(modes: list[Mode]) -> list[float]:
    """Shares of the mass, none below the negligible one: a region without height would be no region."""
    shares = np.maximum([mode.share for mode in modes], NEGLIGIBLE_MASS)
    return list(shares / shares.sum())


def _with_evidence(modes: list[Mode], found: list[FitResult]) -> list[Mode]:
    """`modes` as their fits describe them."""
    elbos = np.array([fit.elbo.value for fit in found if fit.elbo is not None])
    masses = np.exp(elbos - elbos.max())
    made = []
    for mode, fit, share in zip(modes, found, masses / masses.sum(), strict=True):
        gaussian = gaussian_of(fit)
        assert fit.elbo is not None
        made.append(
            dataclasses.replace(
                mode, mean=np.asarray(gaussian.mean), elbo=fit.elbo, share=float(share), metric=gaussian.metric,
                residual=fit.score_residual,
            )
        )  # fmt: skip
    return made


def _carried_over(fit: FitResult, old: Regions, k: int, new: Regions, i: int) -> tuple[FitResult, float]:
    """`fit` with the densities and scores of its draws as they are in the new region, which takes no gradient; and the share of them that changes hands."""
    assert fit.draws is not None
    x, log_density, score = fit.draws
    before, after = old.log_shares(x)[:, k], new.log_shares(x)[:, i]
    check = Evaluations(x, log_density + after - before, score + new.score(x, i) - old.score(x, k))
    moved = float(np.mean(np.abs(np.exp(after) - np.exp(before))))
    return dataclasses.replace(fit, state=dataclasses.replace(fit.state, check=check)), moved


def mapped_fits(key: Key, parts: list[Part], report: Reporter) -> tuple[list[Part], Cost]:
    """The parts with fits along learned maps where those pay, and what looking for them has cost."""
    better, spent = [], Cost()
    for k, part in enumerate(parts):
        chosen = with_map(fold_key(key, k), part.target, part.fit, pipeline.algorithm_for(None), report.fit_step)
        spent += Cost(*(a - b for a, b in zip(chosen.cost, part.fit.cost, strict=True)))
        better.append(dataclasses.replace(part, fit=chosen))
    return better, spent
