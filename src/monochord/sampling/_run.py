"""From starts to `Draws`: warm-up, the kernel, the loop over blocks, its stopping rules, and what is kept."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from monochord.arrays import Key, fold_key, host_generator
from monochord.cost import Cost
from monochord.errors import LostProcess, ModelError
from monochord.gaussian import Gaussian
from monochord.sampling._ahead import Ahead
from monochord.sampling._archive import AbstractArchive, Beginning, Stretch, WarmUp
from monochord.sampling._budget import Budget
from monochord.sampling._chains import Chains, ProgressCallback
from monochord.sampling._enough import Standing
from monochord.sampling._evidence import Evidence
from monochord.sampling._kept import STUCK_CHAIN, Kept
from monochord.sampling._pilot import choose_kernel
from monochord.sampling._segment import Segment, concatenate
from monochord.sampling._settings import SamplerSettings, Standpoint, Start, Tuning
from monochord.sampling._warmup import WarmUpRun
from monochord.targets import AbstractTarget, join

MAX_RESTARTS = 2
STOPPED = "stopped"  # how a status begins where the model raised or another process was lost


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of all chains in unconstrained space, shape (chains, draws, dim), and how they came about.

    `evidence` is what these draws and their scores say about the fit. `standing` is the last look at ESS and R̂. Of a run
    that is recorded in an archive, `segment` holds every so many draws, and the counts are those of all.
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
    stretch: Stretch | None = None

    @property
    def x(self) -> np.ndarray:
        """Positions, (chains, draws, dim)."""
        return self.segment.x

    @property
    def num_draws(self) -> int:
        """Of each chain."""
        return self.stretch.done if self.stretch is not None else self.segment.x.shape[1]

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
        return self.stretch.gradients if self.stretch is not None else self.segment.gradients

    @property
    def idle_lanes(self) -> int:
        """Gradients that idle lanes cost, of starts, warm-up and sampling."""
        return self.cost_starts.idle_lanes + (self.stretch.idle_lanes if self.stretch is not None else 0)


def run_chains(
    key: Key,
    target: AbstractTarget,
    starts: Sequence[Start],
    cost_starts: Cost,
    settings: SamplerSettings,
    judged: Gaussian | None = None,
    callback: ProgressCallback | None = None,
    archive: AbstractArchive | None = None,
    ahead: Ahead | None = None,
) -> Draws:
    """Warm-up and sampling of all chains; `judged` is the fit that the draws are held against.

    Ctrl-C, and an exception of the model's, while draws are being kept end the run with the draws so far and a status that
    says so; during warm-up they propagate, as nothing is worth keeping. With `archive` everything is recorded there.
    """
    budget = Budget(settings.max_gradients, settings.max_seconds)
    budget.spend(cost_starts.gradients)
    chains = Chains(
        target, join([start.points for start in starts]), fold_key(key, 1), settings.max_tree_depth, journal=archive,
        chain_method=settings.chain_method, ahead=ahead,
    )  # fmt: skip
    try:
        run = WarmUpRun(chains, starts, settings, budget, host_generator(fold_key(key, 0)), callback)
        acceptance = run.run()
        for restarts in range(MAX_RESTARTS + 1):
            pilot = choose_kernel(run)
            warmed = WarmUp(
                run.gradients, run.iterations, acceptance, run.num_refinements, restarts, pilot, tuple(run.trace)
            )  # fmt: skip
            begin = Standpoint(
                chains.ends(), chains.iteration, run.kernel, settings.max_tree_depth, tuple(run.tunings()),
                tuple(group.chains for group in run.groups),
            )  # fmt: skip
            beginning = Beginning(begin, warmed, cost_starts, budget.seconds)
            watch = settings.step_size is None and restarts < MAX_RESTARTS
            if archive is not None:
                archive.begin()
            kept = Kept(chains, beginning, settings, budget, judged, archive=archive, watch=watch)
            drawn = _sample(kept, callback)
            if drawn.status != STUCK_CHAIN:
                return drawn
            run.take_back(drawn.segment.gradients, drawn.segment.x.shape[1])
            acceptance = run.run_again(kept.watched)
    finally:
        chains.close()
    raise AssertionError("the last stretch is not watched")


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
    budget = Budget(settings.max_gradients, settings.max_seconds)
    chains = Chains(
        target, standpoint.ends, fold_key(key, 1), standpoint.max_tree_depth, standpoint.iteration,
        chain_method=settings.chain_method,
    )  # fmt: skip
    try:
        return _sample(Kept(chains, Beginning(standpoint, None), settings, budget, before=before), callback)
    finally:
        chains.close()


def resume_chains(
    key: Key,
    target: AbstractTarget,
    archive: AbstractArchive,
    settings: SamplerSettings,
    judged: Gaussian | None = None,
    callback: ProgressCallback | None = None,
) -> Draws | None:
    """Go on after the last block in `archive`, as if nothing had happened; None where there is no block yet.

    `judged` counts only where the run has no chains of separate modes, as in `run_chains`.
    """
    found = archive.stretch()
    if found is None:
        return None
    stretch, held = found
    beginning, stands = stretch.beginning, stretch.stands
    budget = Budget(settings.max_gradients, settings.max_seconds)
    spent = beginning.warmup.gradients if beginning.warmup is not None else 0
    budget.spend(beginning.cost_starts.gradients + spent + stretch.gradients)
    chains = Chains(
        target,
        stands.ends,
        fold_key(key, 1),
        stands.max_tree_depth,
        stands.iteration,
        chain_method=settings.chain_method,
    )
    try:
        whole = judged if len(beginning.begin.groups) == 1 else None
        return _sample(
            Kept(chains, beginning, settings, budget, whole, archive=archive).resume(stretch, held), callback
        )
    finally:
        chains.close()


def _sample(kept: Kept, callback: ProgressCallback | None) -> Draws:
    """Draws until a stopping rule holds."""
    begin, settings, status = kept.beginning.begin, kept.settings, None
    stream = kept.chains.segments(
        begin.tunings, begin.kernel, settings.num_draws, kept.next_cut, kept.done,
        is_paced=not kept.is_archived and settings.piece is None, piece=settings.piece,
    )  # fmt: skip
    try:
        while status is None:
            try:
                segment = next(stream, None)
            except (ModelError, LostProcess) as error:
                if not kept.done:
                    raise
                status = f"{STOPPED}: {error}"
                break
            if segment is None:
                break
            status = kept.take(segment)
            if callback is not None and status != STUCK_CHAIN:
                callback(kept.info(segment))
    except KeyboardInterrupt:
        if not kept.done:
            raise
        status = "interrupted"
    if status not in ("interrupted", STUCK_CHAIN):
        kept.last_look()
    stretch, beginning = kept.stretch(), kept.beginning
    return Draws(
        concatenate(kept.held.segments), stretch.stands, beginning.warmup, beginning.cost_starts,
        status if status == STUCK_CHAIN else _in_words(status, settings), beginning.seconds_warmup, stretch.seconds,
        kept.evidence.evidence() if kept.evidence is not None else None, kept.monitor.standing, stretch,
    )  # fmt: skip


def _in_words(status: str | None, settings: SamplerSettings) -> str:
    if settings.target_ess is None:
        return status or "finished"
    if status in ("target ESS reached", "interrupted"):
        return status
    if status is not None and status.startswith(STOPPED):
        return status
    return f"{status or 'draw limit reached'} before the target ESS"
