"""Draws that are being kept, what is known of them, and the rules that end the run."""

import dataclasses
import time

import numpy as np

from monochord.gaussian import Gaussian
from monochord.sampling._archive import AbstractArchive, Beginning, Stretch
from monochord.sampling._budget import Budget
from monochord.sampling._chains import Chains, SamplingInfo
from monochord.sampling._enough import Monitor
from monochord.sampling._evidence import EvidenceSum
from monochord.sampling._segment import Held, Segment
from monochord.sampling._settings import SamplerSettings

WATCH_DRAWS = 100  # after which a chain may be found stuck
STUCK_CHAIN = "stuck"  # what ends a first stretch that is given up
STUCK = 0.5  # of the wanted acceptance
MANY_DIVERGING = 0.01  # of transitions


class Kept:
    """The kept draws of a run; `before` are those of a former one that this continues."""

    def __init__(
        self,
        chains: Chains,
        beginning: Beginning,
        settings: SamplerSettings,
        budget: Budget,
        judged: Gaussian | None = None,
        before: Segment | None = None,
        archive: AbstractArchive | None = None,
        watch: bool = False,
    ):
        self.chains, self.beginning, self.settings, self.budget = chains, beginning, settings, budget
        self._archive, self._watch = archive, watch
        self.held = Held(archive.most_held if archive is not None else None)
        self.watched: list[Segment] = []  # with their scores, until it is known that no chain is stuck
        self._old = [before] if before is not None else []
        self._made = before.x.shape[1] if before is not None else 0
        self.monitor = Monitor(beginning.begin.groups, settings.target_ess, place=chains.target.to_unconstrained)
        self.evidence = EvidenceSum(judged, settings.num_chains) if judged is not None else None
        self.done = self.gradients = self.divergences = 0
        self._idle = chains.idle_lanes
        self._seconds, self._clock = 0.0, time.perf_counter()

    def resume(self, stretch: Stretch, held: list[Segment]) -> "Kept":
        """Take up the draws of a former process."""
        self.held.resume(held, stretch.stride, stretch.done)
        self.done, self.gradients, self.divergences = stretch.done, stretch.gradients, stretch.divergences
        self._idle -= stretch.idle_lanes
        self._seconds = stretch.seconds
        self.monitor = Monitor(
            self.beginning.begin.groups, self.settings.target_ess, stretch.standing, self.chains.target.to_unconstrained
        )
        if self.evidence is not None and stretch.evidence is not None:
            self.evidence.resume(stretch.evidence)
        return self

    @property
    def is_archived(self) -> bool:
        """Whether lengths of segments must not depend on a clock."""
        return self._archive is not None

    @property
    def seconds(self) -> float:
        """Of sampling so far, former processes included."""
        return self._seconds + time.perf_counter() - self._clock

    @property
    def idle_lanes(self) -> int:
        """Gradients that idle lanes cost while these draws were made."""
        return self.chains.idle_lanes - self._idle

    def next_look(self, done: int) -> int:
        """The count of new draws at which to look next: the schedule counts old ones too."""
        return self.monitor.next_look(self._made + done) - self._made

    def next_cut(self, done: int) -> int:
        """The count of new draws at which the next segment must end."""
        if self._archive is None:
            return self.next_look(done)
        piece = self.chains.piece
        return min(self.next_look(done), (done // piece + 1) * piece, self._archive.next_cut(done))

    def take(self, segment: Segment) -> str | None:
        """Keep `segment`; the reason to stop, if there is one."""
        if self.evidence is not None:
            self.evidence.add(segment.x, segment.score)
        self.held.add(segment)
        self.done += segment.x.shape[1]
        self.gradients += segment.gradients
        self.divergences += int(segment.diverging.sum())
        self.budget.spend(segment.gradients)
        if self._watch:
            self.watched.append(segment)
            if self.done >= WATCH_DRAWS:
                self._watch = False
                if _is_stuck(self.watched, self.settings):
                    return STUCK_CHAIN
                self.watched = []
        is_enough = self.done == self.next_look(self.done - 1) and self.monitor.look([*self._old, *self.held.segments])
        if self._archive is not None:
            self._archive.keep(segment, self.done, None if self._watch else self.stretch)
        if is_enough:
            return "target ESS reached"
        return self.budget.ending() if self.budget.is_spent() else None

    def stretch(self) -> Stretch:
        """Enough to go on from here."""
        stands = dataclasses.replace(self.beginning.begin, ends=self.chains.ends(), iteration=self.chains.iteration)
        return Stretch(
            self.beginning, stands, self.done, self.gradients, self.divergences, self.idle_lanes, self.held.stride,
            self.monitor.standing, self.evidence.state() if self.evidence is not None else None, self.seconds,
        )  # fmt: skip

    def last_look(self) -> None:
        """A look at the end, where the run was not looked at on the way or nobody waited for its ESS."""
        if self.monitor.standing is None or self.settings.target_ess is None:
            self.monitor.last_look([*self._old, *self.held.segments])

    def info(self, segment: Segment) -> SamplingInfo:
        """A report of progress."""
        standing = self.monitor.standing
        return SamplingInfo(
            "sampling", self.done, self.settings.num_draws, self.gradients, self.divergences,
            float(segment.acceptance.mean()), self.beginning.begin.tunings[0].step_size,
            standing.ess if standing else None, standing.r_hat if standing else None, self.settings.target_ess,
            self.seconds, self.beginning.begin.kernel,
        )  # fmt: skip


def _is_stuck(segments: list[Segment], settings: SamplerSettings) -> bool:
    """Whether a chain accepts so little, or so many transitions diverge, that the step size of warm-up cannot be right.

    Where the density ends at a wall, trajectories that meet it diverge however short their steps are.
    """
    weights = [segment.x.shape[1] for segment in segments]
    acceptance = np.average([segment.acceptance.mean(axis=1) for segment in segments], axis=0, weights=weights)
    diverging = np.mean(np.concatenate([segment.diverging for segment in segments], axis=1))
    crowded = diverging > MANY_DIVERGING and not settings.has_walls
    return bool(np.min(acceptance) < STUCK * settings.target_accept or crowded)
