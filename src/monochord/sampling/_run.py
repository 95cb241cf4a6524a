"""From starts to `Draws`: warm-up, the kernel, the loop over blocks, its stopping rules, and what is kept."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.sampling._budget import Budget
from monochord.sampling._chains import Chains, Piece, ProgressCallback, SamplingInfo, Segment, concatenate
from monochord.sampling._enough import Monitor, Standing
from monochord.sampling._evidence import Evidence, EvidenceSum
from monochord.sampling._pilot import Pilot, choose_kernel
from monochord.sampling._settings import SamplerSettings, Start, Tuning
from monochord.sampling._warmup import WarmUpRun
from monochord.targets import AbstractTarget, Evaluations, join

WATCH_DRAWS = 100  # after which a chain may be found stuck
STUCK_CHAIN = "stuck"  # what ends a first stretch that is given up
STUCK = 0.5  # of the wanted acceptance
MANY_DIVERGING = 0.01  # of transitions
MAX_RESTARTS = 2


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """The outcome of warm-up and what it spent, the pilot of kernels and draws that were given up included."""

    gradients: int
    iterations: int
    acceptance: float
    num_refinements: int
    num_restarts: int
    pilot: Pilot
    trace: tuple[Piece, ...] = ()


@dataclasses.dataclass(frozen=True)
class Standpoint:
    """Where a run stands: enough to go on with it bit for bit, given the same target and key."""

    ends: Evaluations
    iteration: int
    kernel: str
    max_tree_depth: int
    tunings: tuple[Tuning, ...]
    groups: tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of all chains in unconstrained space, shape (chains, draws, dim), and how they came about.

    `evidence` is what these draws and their scores say about the fit. `standing` is the last look at ESS and R̂.
    """

    segment: Segment
    standpoint: Standpoint
    warmup: WarmUp | None
    cost_starts: Cost
    status: str
    seconds_warmup: float
    seconds_sampling: float
    evidence: Evidence | None
    standing: Standing | None

    @property
    def x(self) -> np.ndarray:
        """Positions, (chains, draws, dim)."""
        return self.segment.x

    @property
    def tuning(self) -> Tuning:
        """What the first chain ran with; chains of other modes have their own in `standpoint`."""
        return self.standpoint.tunings[0]

    @property
    def gradients_warmup(self) -> int:
        """Gradients of starts and warm-up."""
        return self.cost_starts.gradients + (self.warmup.gradients if self.warmup is not None else 0)

    @property
    def gradients_sampling(self) -> int:
        """Gradients of the kept draws."""
        return self.segment.gradients


def run_chains(
    key: Key,
    target: AbstractTarget,
    starts: Sequence[Start],
    cost_starts: Cost,
    settings: SamplerSettings,
    judged: Gaussian | None = None,
    callback: ProgressCallback | None = None,
) -> Draws:
    """Warm-up and sampling of all chains; `judged` is the fit that the draws are held against.

    Ctrl-C while draws are being kept ends the run with the draws so far and the status "interrupted";
    during warm-up it propagates, as nothing is worth keeping.
    """
    budget = Budget(settings.max_gradients, settings.max_seconds)
    budget.spend(cost_starts.gradients)
    chains = Chains(target, join([start.points for start in starts]), fold_key(key, 1), settings.max_tree_depth)
    try:
        run = WarmUpRun(chains, starts, settings, budget, host_generator(fold_key(key, 0)), callback)
        acceptance = run.run()
        for restarts in range(MAX_RESTARTS + 1):
            pilot = choose_kernel(run)
            warmed = WarmUp(
                run.gradients, run.iterations, acceptance, run.num_refinements, restarts, pilot, tuple(run.trace)
            )  # fmt: skip
            seconds_warmup = budget.seconds
            begin = Standpoint(
                chains.ends(), chains.iteration, run.kernel, settings.max_tree_depth, tuple(run.tunings()),
                tuple(group.chains for group in run.groups),
            )  # fmt: skip
            watch = settings.step_size is None and restarts < MAX_RESTARTS
            drawn, stuck = _sample(chains, begin, settings, budget, judged, callback, watch=watch)
            if stuck is None:
                break
            run.take_back(drawn.segment.gradients, drawn.segment.x.shape[1])
            acceptance = run.run_again(stuck)
    finally:
        chains.close()
    return dataclasses.replace(drawn, warmup=warmed, cost_starts=cost_starts, seconds_warmup=seconds_warmup)


def continue_chains(
    key: Key,
    target: AbstractTarget,
    standpoint: Standpoint,
    settings: SamplerSettings,
    before: Segment,
    callback: ProgressCallback | None = None,
) -> Draws:
    """More draws from where a run stood, as if it had not stopped; `before` are those it has, which the result leaves out.

    ESS and R̂ are judged on all of them together.
    """
    chains = Chains(target, standpoint.ends, fold_key(key, 1), standpoint.max_tree_depth, standpoint.iteration)
    try:
        budget = Budget(settings.max_gradients, settings.max_seconds)
        return _sample(chains, standpoint, settings, budget, None, callback, before)[0]
    finally:
        chains.close()


def _sample(
    chains: Chains, begin: Standpoint, settings: SamplerSettings, budget: Budget, judged: Gaussian | None, callback,
    before: Segment | None = None, watch: bool = False,
) -> tuple[Draws, list[Segment] | None]:  # fmt: skip
    """Draws until a stopping rule holds; with `watch`, also those so far with scores where a chain is found stuck."""
    kept = _Kept(begin, settings, budget, judged, before, watch)
    clock, status = time.perf_counter(), None
    try:
        for segment in chains.segments(begin.tunings, begin.kernel, settings.num_draws, kept.next_look):
            status = kept.take(segment)
            if callback is not None and status != STUCK_CHAIN:
                callback(kept.info(segment, time.perf_counter() - clock))
            if status is not None:
                break
    except KeyboardInterrupt:
        if not kept.segments:
            raise
        status = "interrupted"
    if status not in ("interrupted", STUCK_CHAIN):
        kept.last_look()
    seconds = time.perf_counter() - clock
    stands = dataclasses.replace(begin, ends=chains.ends(), iteration=chains.iteration)
    drawn = Draws(
        concatenate(kept.segments), stands, None, Cost(), _in_words(status, settings), 0.0, seconds,
        kept.evidence.evidence() if kept.evidence is not None else None, kept.monitor.standing,
    )  # fmt: skip
    return drawn, kept.watched if status == STUCK_CHAIN else None


class _Kept:
    """Draws that are being kept, what is known of them, and the rules that end the run."""

    def __init__(self, begin: Standpoint, settings: SamplerSettings, budget: Budget, judged, before, watch: bool):
        self.begin, self.settings, self.budget, self._watch = begin, settings, budget, watch
        self.segments: list[Segment] = []
        self.watched: list[Segment] = []  # with their scores, until it is known that no chain is stuck
        self._old = [before] if before is not None else []
        self._made = before.x.shape[1] if before is not None else 0
        self.monitor = Monitor(begin.groups, settings.target_ess)
        self.evidence = EvidenceSum(judged, settings.num_chains) if judged is not None else None
        self.done = self.gradients = self.divergences = 0

    def next_look(self, done: int) -> int:
        """The count of new draws at which to look next: the schedule counts old ones too."""
        return self.monitor.next_look(self._made + done) - self._made

    def take(self, segment: Segment) -> str | None:
        """Keep `segment`; the reason to stop, if there is one."""
        if self.evidence is not None:
            self.evidence.add(segment.x, segment.score)
        self.segments.append(segment._replace(score=segment.score[:, :, :0]))
        self.done += segment.x.shape[1]
        self.gradients += segment.gradients
        self.divergences += int(segment.diverging.sum())
        self.budget.spend(segment.gradients)
        if self._watch:
            self.watched.append(segment)
            if self.done >= WATCH_DRAWS:
                self._watch = False
                if _is_stuck(self.watched, self.settings.target_accept):
                    return STUCK_CHAIN
                self.watched = []
        if self.done == self.next_look(self.done - 1) and self.monitor.look([*self._old, *self.segments]):
            return "target ESS reached"
        return self.budget.ending() if self.budget.is_spent() else None

    def last_look(self) -> None:
        """A look at the end, where the run was not looked at on the way or nobody waited for its ESS."""
        if self.monitor.standing is None or self.settings.target_ess is None:
            self.monitor.last_look([*self._old, *self.segments])

    def info(self, segment: Segment, seconds: float) -> SamplingInfo:
        """A report of progress."""
        standing = self.monitor.standing
        return SamplingInfo(
            "sampling", self.done, self.settings.num_draws, self.gradients, self.divergences,
            float(segment.acceptance.mean()), self.begin.tunings[0].step_size, standing.ess if standing else None,
            standing.r_hat if standing else None, self.settings.target_ess, seconds, self.begin.kernel,
        )  # fmt: skip


def _is_stuck(segments: list[Segment], target_accept: float) -> bool:
    """Whether a chain accepts so little, or so many transitions diverge, that the step size of warm-up cannot be right."""
    weights = [segment.x.shape[1] for segment in segments]
    acceptance = np.average([segment.acceptance.mean(axis=1) for segment in segments], axis=0, weights=weights)
    diverging = np.mean(np.concatenate([segment.diverging for segment in segments], axis=1))
    return bool(np.min(acceptance) < STUCK * target_accept or diverging > MANY_DIVERGING)


def _in_words(status: str | None, settings: SamplerSettings) -> str:
    if settings.target_ess is None:
        return status or "finished"
    if status in ("target ESS reached", "interrupted"):
        return status
    return f"{status or 'draw limit reached'} before the target ESS"
