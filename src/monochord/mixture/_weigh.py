"""The weight of each mode from its draws and a bridge, and the modes' draws as draws of the posterior."""

import dataclasses

import numpy as np

from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.fits import Mode
from monochord.mixture._base import GivenUp, ModeRun, Unseen
from monochord.modes import Regions, Weights, bridge, labels, missed, moments_gaussian, num_mixed, places_of, weights
from monochord.plan import SampleOptions
from monochord.sampling import Segment
from monochord.targets import evaluate, idle_lanes, lanes

PROPOSALS = 400  # of a bridge: about as many as effective draws, where neither error dominates
WANTED_ERROR, MAX_ROUNDS = 0.015, 3  # of a weight; each round makes twice as many proposals as the last, anew
MAX_LOG_ERROR = 0.5  # nats: beyond it the error's own formula has no meaning
MAX_MISSED = 0.01  # of the mass, beyond three standard errors


def bridge_limit(options: SampleOptions, num_modes: int) -> int:
    """Proposals for each mode that a limit on gradients leaves room for, a quarter of it at most; 0 without such a limit."""
    if options.max_gradients is None:
        return 0
    return max(2, int(min(PROPOSALS, options.max_gradients / (4 * num_modes))))


def weighed(
    key: Key, runs: list[ModeRun], regions: Regions, spent: Cost, options: SampleOptions
) -> tuple[list[ModeRun], Weights]:
    """The runs with their bridges, and the weights. **Raises** `GivenUp` where they cannot be told."""
    first = bridge_limit(options, len(runs)) or PROPOSALS
    is_limited = options.max_gradients is not None or options.max_time is not None
    for number in range(1 if is_limited else MAX_ROUNDS):
        count = first * 2**number
        try:
            runs = [_bridged(fold_key(fold_key(key, number), k), run, count) for k, run in enumerate(runs)]
        except (ValueError, np.linalg.LinAlgError):  # draws that do not move have no covariance
            raise GivenUp("The draws of a mode have no covariance.", spent + _spent(runs)) from None
        bridges = [run.bridge for run in runs if run.bridge is not None]
        errors = [b.standard_error for b in bridges]
        found = weights([b.log_integral for b in bridges], errors)
        if not np.max(found.standard_errors) > WANTED_ERROR:
            break
    spent += _spent(runs)
    if not np.all(np.isfinite(found.values)) or not np.max(errors) < MAX_LOG_ERROR:
        raise GivenUp("Bridge sampling could not tell the weights: its error is too large.", spent)
    lost, error = missed(regions, found, [_in_regions(run) for run in runs])
    if lost > MAX_MISSED + 3.0 * error:
        why = f"The chains of one mode do not see {lost:.1%} of the mass that is theirs."
        raise Unseen(why, spent, [_as_seen(run, weight) for run, weight in zip(runs, found.values, strict=True)])
    return runs, found


def _as_seen(run: ModeRun, weight: float) -> Mode:
    """A mode as its draws describe it, in the coordinates of the regions."""
    gaussian = moments_gaussian(_in_regions(run), run.drawn.tuning.metric)
    return dataclasses.replace(run.mode, mean=np.asarray(gaussian.mean), metric=gaussian.metric, share=float(weight))


def _bridged(key: Key, run: ModeRun, count: int) -> ModeRun:
    """`run` with a bridge of `count` proposals beside those it has paid for."""

    def log_density(x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(evaluate(run.target, x).log_density, nan=-np.inf, posinf=-np.inf)

    drawn = run.drawn
    found = bridge(host_generator(key), log_density, drawn.x, drawn.segment.log_density, drawn.tuning.metric, count)
    paid = run.bridge.num_proposals if run.bridge is not None else 0
    return dataclasses.replace(run, bridge=dataclasses.replace(found, num_proposals=paid + found.num_proposals))


def _spent(runs: list[ModeRun]) -> Cost:
    bridged = sum(run.bridge.num_proposals for run in runs if run.bridge is not None)
    drawn = sum(run.drawn.gradients_warmup + run.drawn.gradients_sampling for run in runs)
    return Cost(bridged + drawn, sum(run.drawn.idle_lanes for run in runs) + idle_lanes(bridged))


def by_shares(runs: list[ModeRun]) -> Weights:
    values = np.array([run.mode.share for run in runs])
    return Weights(values / values.sum(), np.full((len(runs), len(runs)), np.nan))


def heaviest_first(runs: list[ModeRun], found: Weights) -> tuple[list[ModeRun], Weights]:
    """Both by falling weight."""
    order = np.argsort(-found.values, kind="stable")
    return [runs[k] for k in order], Weights(found.values[order], found.covariance[np.ix_(order, order)])


def mixed(
    rng, runs: list[ModeRun], found: Weights, regions: Regions, options: SampleOptions
) -> tuple[Segment, np.ndarray]:
    """Draws of the posterior: each chain holds every mode's in proportion; and the mode of each."""
    counts = [run.drawn.x.shape[1] for run in runs]
    most = [limit for limit in (options.draws, options.max_draws) if limit is not None]
    total = min([num_mixed(found.values, counts), *most])
    parts = [_whole(run, regions) for run in runs]
    chains, modes = [], []
    for c in range(options.chains):
        mode = labels(rng, found.values, total)
        places = places_of(mode, counts)
        chains.append(
            [
                np.stack([part[field][c, i] for part, i in zip((parts[k] for k in mode), places, strict=True)])
                for field in range(len(Segment._fields))
            ]
        )
        modes.append(mode)
    return Segment(*(np.stack(field) for field in zip(*chains, strict=True))), np.stack(modes)


def _in_regions(run: ModeRun) -> np.ndarray:
    """A mode's draws in the coordinates that the regions are in, not those of its own map."""
    return run.fit.map.place(run.drawn.x) if run.fit.map is not None else run.drawn.x


def _whole(run: ModeRun, regions: Regions) -> Segment:
    """The draws of a mode as draws of the posterior: its coordinates, and its log density without the region's share."""
    segment, log_det = run.drawn.segment, 0.0
    x = segment.x
    if run.fit.map is not None:
        import jax

        flat = x.reshape(-1, x.shape[-1])
        log_det = np.asarray(jax.jit(lanes(run.fit.map.forward))(flat)[1]).reshape(x.shape[:2])
        x = _in_regions(run)
    log_density = segment.log_density - log_det - regions.log_shares(x)[..., run.index]
    return segment._replace(x=x, log_density=log_density, score=x[:, :, :0])
