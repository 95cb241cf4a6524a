"""When to go on, stop, take back or give up: rules of evidence for a staged fit."""

import numpy as np

from monochord.fits import _lbfgs
from monochord.fits._base import Scored
from monochord.gaussian import Gaussian
from monochord.spectra._verdict import START_COORDINATE, START_RESIDUAL
from monochord.targets import Evaluations, join

RUNAWAY = 1e12  # of coordinates and scales: no parameter in a sensible unit is that large
LARGE_RESIDUAL = 1.0  # fits that stopped on a residual that was only flat ended at 1 to 30
WORTHWHILE = 0.002  # nats a dimension: a third of a nat in 160 dimensions, where a window costs 500 gradients
REFUSED_STEPS = 8
CREEPING = 0.1  # nats a dimension in that many steps: a horseshoe gains .09, with residuals of .5 to 2 from end to end
BUFFER_LENGTH = 16  # batches a match may look back on
BUFFER_NUMBERS = 20_000_000  # doubles of points in the buffer, so that it stays small in very many dimensions


def is_active(search: _lbfgs.Search, dim: int) -> bool:
    """Go on while a quadratic model, or the last steps, see more to gain than the posterior's own spread.

    In the typical set the potential is dim/2 above its minimum, with spread √(dim/2).
    """
    if search.is_stuck:
        return False
    if search.num_accepted < 5 or len(search.recent) < 4:
        return True
    return bool(search.decrement > 0.05 * dim or search.recent[-4] - search.potential > 0.2 * dim)


def distinct_ends(searches, dim: int) -> list[_lbfgs.Search]:
    """The best end, others that are close to it in potential, and those that rest elsewhere; lowest first."""
    best = min(search.potential for search in searches)
    margin = 20.0 + 2.0 * dim
    kept = (s for s in searches if s.potential <= best + margin or not is_active(s, dim))
    return sorted(kept, key=lambda s: s.potential)


def not_worse(evidence: Scored, best: Scored | None) -> bool:
    """True unless the ELBO fell below the best by more than noise (three standard errors).

    A candidate cannot excuse itself by noise of its own making: its error counts up to five times the best one's.
    """
    if not np.isfinite(evidence.elbo.value):
        return False
    if best is None:
        return True
    noise = np.hypot(min(evidence.elbo.standard_error, 5.0 * best.elbo.standard_error), best.elbo.standard_error)
    return bool(evidence.elbo.value > best.elbo.value - 3.0 * noise - 0.1)


def merit(evidence: Scored) -> tuple[bool, float]:
    """Whether no coordinate alone is ground for refusal; and the ELBO less a quarter of the summed score residual, nats.

    Both see the same KL where two Gaussians are close; a metric from few points gains in the one by fitting noise that the
    other shows. Each counts with a standard error to its disadvantage, so that few lucky draws do not win.
    """
    elbo, residual = evidence.elbo, evidence.residual
    rough = residual.value + residual.standard_error
    nats = elbo.value - elbo.standard_error - 0.25 * evidence.gaussian.dim * rough
    return evidence.worst <= START_COORDINATE, nats


def has_settled(scores: tuple[Scored, ...], window: int) -> bool:
    """The last `window` steps improve on the `window` before neither in ELBO nor in residual, beyond noise."""
    if len(scores) < 2 * window:
        return False

    def average(part, name):
        values = [getattr(score, name) for score in part]
        error = np.sqrt(np.sum([v.standard_error**2 for v in values])) / len(values)
        return float(np.mean([v.value for v in values])), float(error)

    recent, before = scores[-window:], scores[-2 * window : -window]
    (elbo, elbo_error), (elbo_before, elbo_error_before) = average(recent, "elbo"), average(before, "elbo")
    residual, residual_before = average(recent, "residual")[0], average(before, "residual")[0]
    gained = elbo - elbo_before > 0.05 + 2.0 * np.hypot(elbo_error, elbo_error_before)
    return not gained and residual > 0.7 * residual_before


def has_come_to_rest(scores: tuple[Scored, ...], window: int) -> bool:
    """`has_settled` for a match with a rich family, where a large residual is no place to stop, however flat.

    It must then be flat for twice as long. By medians, as a rejected jump has an ELBO and an error of its own making. An
    ELBO that gains less than `WORTHWHILE` nats a dimension in `window` steps is no reason to go on.
    """
    if len(scores) >= window and _median(scores[-window:], "residual") > LARGE_RESIDUAL:
        window *= 2
    if len(scores) < 2 * window:
        return False
    recent, before = scores[-window:], scores[-2 * window : -window]
    errors = [_median(part, "elbo", "standard_error") for part in (recent, before)]
    noise = np.hypot(errors[0], errors[1]) / np.sqrt(window)
    gained = _median(recent, "elbo") - _median(before, "elbo")
    worthwhile = max(0.05, WORTHWHILE * scores[-1].gaussian.dim)
    return bool(gained <= worthwhile + 2.0 * noise and _median(recent, "residual") > 0.7 * _median(before, "residual"))


def is_refused(scores: tuple[Scored, ...]) -> bool:
    """The residual has stayed at a size that no verdict accepts, and the ELBO creeps: a better Gaussian is of no use.

    Medians of the last `REFUSED_STEPS` steps and of as many before. A fit on its way gains nats in every dimension.
    """
    if len(scores) < 2 * REFUSED_STEPS:
        return False
    recent, before = scores[-REFUSED_STEPS:], scores[-2 * REFUSED_STEPS : -REFUSED_STEPS]
    residual, gained = _median(recent, "residual"), _median(recent, "elbo") - _median(before, "elbo")
    flat = residual > 0.7 * _median(before, "residual")
    return bool(flat and residual > START_RESIDUAL and gained < CREEPING * scores[-1].gaussian.dim)


def _median(part: tuple[Scored, ...], name: str, field: str = "value") -> float:
    return float(np.median([getattr(getattr(score, name), field) for score in part]))


def has_run_away(gaussian: Gaussian) -> bool:
    extent = np.maximum(np.abs(np.asarray(gaussian.mean)), np.sqrt(np.asarray(gaussian.metric.diagonal())))
    return not np.all(extent < RUNAWAY)


def plausible(prior: Gaussian, buffer) -> tuple[Evaluations, int]:
    """Points within the region that `prior` takes for its typical set, with a wide margin.

    Fewer than `3 * dim` of them would leave directions unresolved: then the nearest others stay as well,
    since on the Gaussian part of a target a score is as true far away as near by.
    """
    points = join(list(buffer))
    radius, limit = _squared_radius(prior, points), _radius_limit(prior.dim)
    wanted = min(3 * prior.dim, len(radius))
    keep = radius <= max(limit, np.partition(radius, wanted - 1)[wanted - 1])
    keep[-len(buffer[-1].x) :] = True
    return points.take(keep), int(np.sum(~keep))


def typical(gaussian: Gaussian, points: Evaluations) -> Evaluations:
    """Those of `points` that lie in the region that `gaussian` takes for its typical set, with a wide margin."""
    return points.take(_squared_radius(gaussian, points) <= _radius_limit(gaussian.dim))


def _squared_radius(gaussian: Gaussian, points: Evaluations) -> np.ndarray:
    return (np.asarray(gaussian.metric.whiten(points.x - gaussian.mean)) ** 2).sum(1)


def _radius_limit(dim: int) -> float:
    return dim + 8.0 * np.sqrt(2.0 * dim) + 16.0


def is_sane(points: Evaluations, best: Scored) -> np.ndarray:
    """Mask of points that are not absurd: their log density is not below the best fit's mean by many times the dimension.

    Scores out there can be larger by any power of ten and would drown all others.
    """
    typical = best.elbo.value - best.gaussian.entropy()
    return points.log_density > typical - 10.0 * best.gaussian.dim - 100.0


def buffer_length(dim: int) -> int:
    """Batches that the buffer may hold."""
    return int(np.clip(BUFFER_NUMBERS // (2 * num_pairs(dim) * dim), 2, BUFFER_LENGTH))


def num_pairs(dim: int) -> int:
    """Antithetic pairs of a full-stage batch: the buffer then holds several times `dim` directions."""
    return 16 if dim <= 32 else 32 if dim <= 128 else 64
