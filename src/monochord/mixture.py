"""Chains for each separate mode, each with a fit and a metric of its own, put together by estimated weights.

The posterior is cut into regions that sum to it (`monochord.modes`); the fit, the map, the verdict, warm-up, kernels and stopping
rules are those of any target. No chain has to cross between modes, and no covariance is pooled over them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from monochord import fits, pipeline, sampling
from monochord.advice import advice
from monochord.arguments import gaussian_of
from monochord.arrays import Key, fold_key, host_generator, named_key
from monochord.beginnings import beginnings
from monochord.cost import Cost
from monochord.errors import ModelError
from monochord.fits import FitResult, FitStatus, Mode
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of, with_map
from monochord.maps import MappedTarget
from monochord.modes import Bridge, Regions, Weights, bridge, labels, missed, num_mixed, places_of, regions_of, weights
from monochord.output import attributes_of, to_output
from monochord.plan import SampleOptions, plan
from monochord.progress import Reporter
from monochord.rejudge import RANKS, rejudged
from monochord.sampling import Draws, Segment
from monochord.spectra import NEGLIGIBLE_MASS
from monochord.targets import AbstractTarget, Evaluations, HostTarget, evaluate, idle_lanes
from monochord.traces import add_traces

PROPOSALS = 400  # of a bridge: about as many as effective draws, where neither error dominates
WANTED_ERROR, MAX_ROUNDS = 0.015, 3  # of a weight; each round evaluates as many proposals again as all before it
MAX_FITS, MOVED = 3, 0.05  # rounds of fits, and the share of a mode's draws that may change hands without another
MAX_LOG_ERROR = 0.5  # nats: beyond it the error's own formula has no meaning
MAX_MISSED = 0.02  # of the mass, beyond three standard errors
HOW = "bridge sampling"
BY_SHARES = "ELBO shares, as the run ended before bridge sampling"


class GivenUp(Exception):
    """Why there are no chains by mode; `cost` is what finding out has spent."""

    def __init__(self, why: str, cost: Cost = Cost()):  # noqa: B008
        super().__init__(why)
        self.cost = cost


@dataclasses.dataclass(frozen=True)
class ModeRun:
    """One mode: its part of the posterior (along a map where one was learned), its fit, and its draws."""

    mode: Mode
    target: AbstractTarget
    fit: FitResult
    drawn: Draws
    bridge: Bridge | None = None

    @property
    def gradients(self) -> int:
        """Spent on this mode, the bridge included."""
        bridged = self.bridge.num_proposals if self.bridge is not None else 0
        return self.fit.cost.gradients + self.drawn.gradients_warmup + self.drawn.gradients_sampling + bridged


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a run over modes is asked for."""

    options: SampleOptions
    seed: int
    looks_for_map: bool
    metric_name: str
    note: str = ""


def kept_modes(fit: FitResult | None) -> list[Mode]:
    """The modes of a fit that have more than a thousandth of the mass by their ELBOs."""
    return [mode for mode in fit.modes if mode.share > NEGLIGIBLE_MASS] if fit is not None else []


def obstacle(target: AbstractTarget, fit: FitResult | None) -> str | None:
    """Why modes of a fit cannot have chains of their own; None where nothing stands against it."""
    if fit is None or fit.gaussian is None or len(kept_modes(fit)) < 2:
        return "The fit found one mode."
    if isinstance(target.unmapped, HostTarget):
        return "The weights of modes are not estimated for models whose functions lie outside JAX."
    if sampling.num_hosts() > 1:
        return "The weights of modes are not estimated in runs over several hosts."
    return None


def sampled_by_modes(
    target: AbstractTarget, known: FitResult, asked: Asked, report: Reporter, describe: Callable[[dict], dict], cost: Cost
) -> Any:
    """The DataTree of a run with chains for each mode of `known`; `cost` is what came before, and `describe` completes the attributes.

    **Raises** `GivenUp` where a mode has no fit, or the weights cannot be told.
    """
    why = obstacle(target, known)
    if why is not None:
        raise GivenUp(why)
    modes = kept_modes(known)
    key = named_key(asked.seed, "modes")
    regions, parts, fitted, spent = _fitted(fold_key(key, 0), target, modes, known, asked, report)
    if asked.looks_for_map and known.map is None:
        fitted, more = _mapped_fits(fold_key(key, 4), parts, fitted, report)
        spent += more
    for fit in fitted:
        report.fit_done(fit)
    runs = _runs(fold_key(key, 1), modes, parts, fitted, asked, report)
    if len(runs) == len(modes) and not _is_cut_short(runs):
        runs, found = _weighed(fold_key(key, 2), runs, regions, spent)
        how = HOW
    else:
        found, how = _by_shares(runs), BY_SHARES
    segment, mode = _mixed(host_generator(fold_key(key, 3)), runs, found, regions, asked.options)
    attributes = describe(_attributes(known, spent, runs, asked, cost) | {"weights": how})
    tree = to_output(target, segment, None, attributes)
    _add_modes(tree, mode, runs, found, known, how, target.names)
    return add_traces(tree, known, runs[int(np.argmax(found.values))].drawn.warmup)


def _gaussian_of(mode: Mode, known: FitResult) -> Gaussian:
    """The Gaussian at a mode; of older files the metric of the fit there."""
    assert known.gaussian is not None
    return Gaussian(np.asarray(mode.mean, np.float64), mode.metric or known.gaussian.metric)


def _fitted(
    key: Key, target: AbstractTarget, modes: list[Mode], known: FitResult, asked: Asked, report: Reporter
) -> tuple[Regions, list[AbstractTarget], list[FitResult], Cost]:
    """Regions from the fits made in them, the targets there, the fits, and what they cost.

    Regions of crude Gaussians are true but may hand a part of one mode to another. They are made anew from the fits, and the
    fits repeated where that moves much of the mass. **Raises** `GivenUp` where a mode has no fit.
    """
    gaussians, shares = [_gaussian_of(mode, known) for mode in modes], [mode.share for mode in modes]
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
    changes = [np.exp(new.log_shares(f.draws.x)) - np.exp(old.log_shares(f.draws.x)) for f in found if f.draws is not None]
    return max(float(np.mean(np.sum(np.abs(change), axis=-1))) / 2.0 for change in changes)


def _carried_over(fit: FitResult, old: Regions, new: Regions, k: int) -> FitResult:
    """`fit` with the densities and scores of its draws as they are in the new region; that takes no gradient."""
    assert fit.draws is not None
    x, log_density, score = fit.draws
    log_density = log_density + new.log_shares(x)[:, k] - old.log_shares(x)[:, k]
    check = Evaluations(x, log_density, score + new.score(x, k) - old.score(x, k))
    return dataclasses.replace(fit, state=dataclasses.replace(fit.state, check=check))


def _mapped_fits(key: Key, parts, found: list[FitResult], report: Reporter) -> tuple[list[FitResult], Cost]:
    """The fits along learned maps where those pay, and what looking for them has cost."""
    better, spent = [], Cost()
    for k, (part, fit) in enumerate(zip(parts, found, strict=True)):
        algorithm = pipeline.algorithm_for(None)
        chosen = with_map(fold_key(key, k), part, fit, algorithm, report.fit_step)
        spent += Cost(*(a - b for a, b in zip(chosen.cost, fit.cost, strict=True)))
        better.append(chosen)
    return better, spent


def _runs(key: Key, modes, parts, fitted, asked: Asked, report: Reporter) -> list[ModeRun]:
    """Chains of every mode in turn, until one is interrupted or stopped. What came before it is kept."""
    runs: list[ModeRun] = []
    for k, (mode, part, fit) in enumerate(zip(modes, parts, fitted, strict=True)):
        report.note(f"mode {k + 1} of {len(modes)}")
        try:
            drawn = _chains(fold_key(key, k), part, fit, _left(asked.options, runs, len(modes) - k), report)
        except (ModelError, KeyboardInterrupt):
            if not runs:
                raise
            return [*runs[:-1], _ended(runs[-1])]
        runs.append(ModeRun(mode, in_coordinates_of(part, fit), fit, drawn))
        if _is_cut_short(runs):
            break
    return runs


def _ended(run: ModeRun) -> ModeRun:
    return dataclasses.replace(run, drawn=dataclasses.replace(run.drawn, status="interrupted"))


def _is_cut_short(runs: list[ModeRun]) -> bool:
    return any(run.drawn.status == "interrupted" or run.drawn.status.startswith(sampling.STOPPED) for run in runs)


def _left(options: SampleOptions, runs: list[ModeRun], num_left: int) -> SampleOptions:
    """`options` with this mode's part of what is left of the limits."""
    changed: dict[str, Any] = {}
    if options.max_gradients is not None:
        used = sum(run.drawn.gradients_warmup + run.drawn.gradients_sampling for run in runs)
        changed["max_gradients"] = max(1.0, (options.max_gradients - used) / num_left)
    if options.max_time is not None:
        used = sum(run.drawn.seconds_warmup + run.drawn.seconds_sampling for run in runs)
        changed["max_time"] = max(1e-3, (options.max_time - used) / num_left)
    return dataclasses.replace(options, **changed)


def _chains(key: Key, part: AbstractTarget, fit: FitResult, options: SampleOptions, report: Reporter) -> Draws:
    there, gaussian = in_coordinates_of(part, fit), gaussian_of(fit)
    settings, metric, believed = plan(there.names, fit, gaussian, options, False)
    begun, spent = beginnings(key, there, fit, gaussian, believed, metric, options.chains, None)
    drawn = sampling.run_chains(key, there, begun, spent, settings, gaussian, report.sampling)
    report.sampling_done(drawn)
    return drawn


def _weighed(key: Key, runs: list[ModeRun], regions: Regions, spent: Cost) -> tuple[list[ModeRun], Weights]:
    """The runs with their bridges, and the weights. **Raises** `GivenUp` where they cannot be told."""
    for number in range(MAX_ROUNDS):
        count = PROPOSALS * 2**number
        runs = [_bridged(fold_key(fold_key(key, number), k), run, count) for k, run in enumerate(runs)]
        bridges = [run.bridge for run in runs if run.bridge is not None]
        errors = [b.standard_error for b in bridges]
        found = weights([b.log_integral for b in bridges], errors)
        if not np.max(found.standard_errors) > WANTED_ERROR:
            break
    spent += _spent(runs)
    if not np.all(np.isfinite(found.values)) or not np.max(errors) < MAX_LOG_ERROR:
        raise GivenUp("Bridge sampling could not tell the weights: its error is too large.", spent)
    lost, error = missed(regions, found, [run.target.to_unconstrained(run.drawn.x) for run in runs])
    if lost > MAX_MISSED + 3.0 * error:
        raise GivenUp(f"The chains of one mode do not see {lost:.1%} of the mass that is theirs.", spent)
    return runs, found


def _bridged(key: Key, run: ModeRun, count: int) -> ModeRun:
    """`run` with a bridge of `count` proposals beside those it has paid for."""

    def log_density(x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(evaluate(run.target, x).log_density, nan=-np.inf, posinf=-np.inf)

    drawn = run.drawn
    found = bridge(
        host_generator(key), log_density, drawn.x, drawn.segment.log_density, drawn.tuning.metric, count
    )
    paid = run.bridge.num_proposals if run.bridge is not None else 0
    return dataclasses.replace(run, bridge=dataclasses.replace(found, num_proposals=paid + found.num_proposals))


def _spent(runs: list[ModeRun]) -> Cost:
    bridged = sum(run.bridge.num_proposals for run in runs if run.bridge is not None)
    drawn = sum(run.drawn.gradients_warmup + run.drawn.gradients_sampling for run in runs)
    return Cost(bridged + drawn, sum(run.drawn.idle_lanes for run in runs) + idle_lanes(bridged))


def _by_shares(runs: list[ModeRun]) -> Weights:
    values = np.array([run.mode.share for run in runs])
    return Weights(values / values.sum(), np.full((len(runs), len(runs)), np.nan))


def _mixed(rng, runs: list[ModeRun], found: Weights, regions: Regions, options: SampleOptions) -> tuple[Segment, np.ndarray]:
    """Draws of the posterior: each chain holds every mode's in proportion; and the mode of each."""
    counts = [run.drawn.x.shape[1] for run in runs]
    total = num_mixed(found.values, counts)
    total = total if options.draws is None or options.wanted_ess() is not None else min(total, options.draws)
    parts = [_whole(k, run, regions) for k, run in enumerate(runs)]
    chains, modes = [], []
    for c in range(options.chains):
        mode = labels(rng, found.values, total)
        places = places_of(mode, counts)
        chains.append([np.stack([part[field][c, i] for part, i in zip((parts[k] for k in mode), places, strict=True)]) for field in range(len(Segment._fields))])
        modes.append(mode)
    return Segment(*(np.stack(field) for field in zip(*chains, strict=True))), np.stack(modes)


def _whole(k: int, run: ModeRun, regions: Regions) -> Segment:
    """The draws of a mode as draws of the posterior: its coordinates, and its log density without the region's share."""
    segment, log_det = run.drawn.segment, 0.0
    x = segment.x
    if isinstance(run.target, MappedTarget) and run.fit.map is not None:
        import jax

        flat = x.reshape(-1, x.shape[-1])
        log_det = np.asarray(jax.vmap(run.fit.map.forward)(flat)[1]).reshape(x.shape[:2])
        x = run.fit.map.place(x)
    log_density = segment.log_density - log_det - regions.log_shares(x)[..., k]
    return segment._replace(x=x, log_density=log_density, score=x[:, :, :0])


def _attributes(known: FitResult, spent: Cost, runs: list[ModeRun], asked: Asked, cost: Cost) -> dict[str, Any]:
    """Those of a run, its costs summed over modes; choices are those of the heaviest, reasons name their mode."""
    first = runs[0]
    found = attributes_of(first.target, first.fit, first.drawn, asked.seed, asked.metric_name, asked.note)
    judged = [rejudged(run.fit, run.drawn.evidence) for run in runs]
    worst = max(judged, key=lambda verdict: RANKS[verdict.name])
    said = [sentence for run in runs for sentence in advice(run.target, run.fit, run.drawn)]
    bridged = sum(run.bridge.num_proposals for run in runs if run.bridge is not None)
    statuses = [run.drawn.status for run in runs]
    ended = next((s for s in statuses if s == "interrupted" or s.startswith(sampling.STOPPED)), None)
    short = next((s for s in statuses if "before the target ESS" in s), statuses[0])
    return found | {
        "gradients_fit": known.cost.gradients + spent.gradients,
        "gradients_warmup": cost.gradients + sum(run.drawn.gradients_warmup for run in runs),
        "gradients_sampling": bridged + sum(run.drawn.gradients_sampling for run in runs),
        "gradients_weights": bridged,
        "idle_lanes": known.cost.idle_lanes + cost.idle_lanes + spent.idle_lanes + idle_lanes(bridged)
        + sum(run.drawn.idle_lanes for run in runs),
        "seconds_fit": known.seconds + sum(run.fit.seconds for run in runs),
        "seconds_warmup": sum(run.drawn.seconds_warmup for run in runs),
        "seconds_sampling": sum(run.drawn.seconds_sampling for run in runs),
        "metric_refinements": sum(run.drawn.warmup.num_refinements for run in runs if run.drawn.warmup is not None),
        "warmup_iterations": max(run.drawn.warmup.iterations for run in runs if run.drawn.warmup is not None),
        "verdict": worst.name,
        "reasons": [f"Mode {k + 1}: {reason}" for k, verdict in enumerate(judged) for reason in verdict.reasons],
        "fit_verdict": max((run.fit.verdict for run in runs), key=RANKS.__getitem__),
        "status": ended or short,
        "advice": list(dict.fromkeys(said)),
    }  # fmt: skip


def _add_modes(tree, mode: np.ndarray, runs: list[ModeRun], found: Weights, known: FitResult, how: str, names) -> None:
    """`sample_stats.mode`, and the group `modes`: one row a mode of the fit, those that were left out too."""
    import xarray

    stats = tree["sample_stats"].to_dataset()
    stats["mode"] = ("chain", "draw"), mode
    tree["sample_stats"] = xarray.DataTree(stats)
    kept = len(runs)
    rest = [m for m in known.modes if all(m is not run.mode for run in runs)]
    blank = [np.nan] * len(rest)
    errors = [run.bridge.standard_error if run.bridge is not None else np.nan for run in runs]
    logs = [run.bridge.log_integral if run.bridge is not None else np.nan for run in runs]
    covariance = np.zeros((kept + len(rest),) * 2)
    covariance[:kept, :kept] = found.covariance
    per_mode: dict[str, list] = {
        "weight": [*found.values, *(0.0 for _ in rest)],
        "standard_error": [*found.standard_errors, *blank],
        "log_integral": [*logs, *blank],
        "log_integral_error": [*errors, *blank],
        "elbo_share": [m.share for m in (*(run.mode for run in runs), *rest)],
        "is_kept": [True] * kept + [False] * len(rest),
        "gradients": [*(run.gradients for run in runs), *(0 for _ in rest)],
        "kernel": [*(run.drawn.standpoint.kernel for run in runs), *("none" for _ in rest)],
        "step_size": [*(run.drawn.tuning.step_size for run in runs), *blank],
        "verdict": [*(run.fit.verdict for run in runs), *("not fitted" for _ in rest)],
    }
    means = [run.target.to_unconstrained(run.drawn.x).mean((0, 1)) for run in runs] + [np.asarray(m.mean) for m in rest]
    variables: dict[str, Any] = {name: (("mode",), np.array(values)) for name, values in per_mode.items()}
    variables["center"] = (("mode", "coordinate"), np.stack(means))
    variables["weight_covariance"] = (("mode", "other_mode"), covariance)
    tree["modes"] = xarray.DataTree(
        xarray.Dataset(variables, coords={"coordinate": list(names)}, attrs={"how": how})
    )
