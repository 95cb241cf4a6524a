"""Warm-up that begins where others end: step size from the spectrum, metric from the fit.

Where the fit is trusted, one short look checks the step size, and the draws and scores of that look check the fit
itself. Where it is only a start, windows of growing length pool the draws and scores of all chains of a mode and
`refine` moves the Gaussian towards them, until another refinement would gain less than a tenth of the predicted
cost, the acceptance is as wanted and the chains agree. The pool is bounded; nothing else of warm-up is kept.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric
from monochord.sampling._budget import Budget
from monochord.sampling._chains import Chains, ProgressCallback, SamplingInfo
from monochord.sampling._evidence import evidence_of
from monochord.sampling._pool import agreement, bounded, pooled, window_lengths
from monochord.sampling._segment import Piece, Segment, concatenate
from monochord.sampling._settings import SamplerSettings, Start, Tuning
from monochord.sampling._tuning import closed_form_tuning, found_tuning, moved_tuning
from monochord.spectra import corrected_step_size, cost_functional
from monochord.targets import Evaluations

PIECE = 10  # iterations a chain between looks at the acceptance
PIECE_LEAPFROGS = 640.0  # a chain: fewer iterations where trees are deep, as the step size may be far off
CLOSE = 0.05  # of the mean acceptance to the wanted one: about two standard errors of 40 transitions
NEAR_STEP = 1.5  # factor on the step size; .8 ± .05 is 1.16
SURPRISING = 0.15  # further off than mildly varying curvature brings it
MAX_ATTEMPTS = 10
WINDOW_LEAPFROGS = 16.0  # a draw: under a metric that needs more, a window ends early and the metric learns
MOST_SHORTENED = 2.0  # of the step size, by one return to warm-up
REFUSED_ACCEPT = (
    0.95  # wanted where no metric fits: a funnel was wrong by 5 errors at .8 (benchmarks/local_adaptation.py)
)
MAX_ITERATIONS = 1000  # Stan's default length of warm-up
GAIN = 1.1  # of the predicted cost, below which a refinement is not worth another window
QUITE_DIFFERENT = 1.5
FEWEST_POINTS = 16
AGREEING_ESS = 25.0  # bulk ESS of the worst coordinate in the newest window, between-chain spread included
ENOUGH_IDLE = 4  # windows without gain after which slow mixing, not the metric, is what keeps chains apart
SHARE = 0.5  # of a stated budget that warm-up may use


@dataclasses.dataclass
class Group:
    """Chains of one mode: what they believe of it, what they run with, and their recent draws."""

    chains: slice
    gaussian: Gaussian
    tuning: Tuning
    pool: list[Segment] = dataclasses.field(default_factory=list)
    before: AbstractMetric | None = None  # the metric that the last refinement replaced
    num_idle: int = 0  # windows in a row whose refinement, or the one before on new draws, gained nothing; the first has none before
    is_settled: bool = False


class WarmUpRun:
    """Iterations with step sizes that follow the acceptance, one for each group of chains."""

    def __init__(
        self,
        chains: Chains,
        starts: Sequence[Start],
        settings: SamplerSettings,
        budget: Budget,
        rng: np.random.Generator,
        callback: ProgressCallback | None = None,
    ):
        self.chains, self.settings, self.budget, self.callback = chains, settings, budget, callback
        self.kernel = "hmc" if settings.kernel == "hmc" or settings.prefers_hmc else "nuts"
        self.target_accept = settings.target_accept
        self.expected = 2 * PIECE
        self._last = MAX_ITERATIONS
        self.gradients = self.iterations = self.divergences = self.num_refinements = 0
        self._piece_length = PIECE if starts[0].knows_scale else 2
        self._pick = np.median  # over chains of their acceptance: one stuck chain must not shorten the step of all
        self.is_refused = False  # a trusted fit that the first draws say no linear metric can mend
        self.trace: list[Piece] = []
        self.recent: list[Segment] = []  # since the last change of metric
        self.groups: list[Group] = []
        first = 0
        for start in starts:
            members = slice(first, first + len(start.points.x))
            self.groups.append(Group(members, start.gaussian, self._first_tuning(start, rng)))
            first = members.stop

    def _first_tuning(self, start: Start, rng: np.random.Generator) -> Tuning:
        settings = self.settings
        if start.knows_scale:
            tuning = closed_form_tuning(
                start.metric, start.gaussian, self.kernel, self.target_accept, settings.residual
            )
        else:
            tuning, spent = found_tuning(self.chains.target, start.metric, start.points, rng)
            self._charge(spent)
        return self._stated(tuning)

    def _stated(self, tuning: Tuning) -> Tuning:
        step = self.settings.step_size
        return tuning if step is None else dataclasses.replace(tuning, step_size=float(step))

    def _charge(self, gradients: int) -> None:
        self.gradients += gradients
        self.budget.spend(gradients)

    def tunings(self) -> list[Tuning]:
        """What each chain runs with."""
        return [group.tuning for group in self.groups for _ in range(group.chains.stop - group.chains.start)]

    def run(self) -> float:
        """Look, learn and settle as the settings say; the acceptance at the end."""
        if not self.settings.is_trusted or self._disappoints():
            if self.settings.kernel == "auto":
                self.kernel = "nuts"  # what jittered HMC was preferred for has not held
            if self.settings.refine is not None:
                self._learn()
            self._judge_learned()
        return self.settle()

    def _judge_learned(self) -> None:
        """Whether the latest draws say that no Gaussian with the learned metric describes this posterior; more acceptance
        is then wanted.

        Its mean is theirs: that of the pool may still hold the way from the starts.
        """
        if self.settings.refused is None or len(self.groups) > 1 or not self.recent:
            return
        mean = np.asarray(concatenate(self.recent).x, np.float64).mean((0, 1))
        evidence = evidence_of(Gaussian(mean, self.groups[0].tuning.metric), self.recent)
        self.is_refused = self.is_refused or (evidence is not None and self.settings.refused(evidence))
        if self.is_refused and self.settings.raises_accept:
            self.target_accept = max(self.target_accept, REFUSED_ACCEPT)

    def take_back(self, gradients: int, iterations: int) -> None:
        """Count draws that were begun to be kept, and are not, as warm-up."""
        self.gradients += gradients
        self.iterations += iterations

    def run_again(self, stuck: list[Segment]) -> float:
        """Learn once more from draws in which a chain got stuck or many diverged, with a step size that suits the worst.

        Where the acceptance was not stated, half of what it lacks to 1 is added.
        """
        self._pick = np.min
        least = [group.tuning.step_size / MOST_SHORTENED for group in self.groups]
        if self.settings.raises_accept:
            self.target_accept = 0.5 * (1.0 + self.target_accept)
        self._last = self.iterations + MAX_ITERATIONS // 2
        if self.settings.kernel == "auto":
            self.kernel = "nuts"
        for group in self.groups:
            group.is_settled, group.num_idle, group.before = False, 0, None
            group.pool = [segment.of(group.chains) for segment in stuck]
        self._correct(stuck, 1.0)
        self.recent = []
        if self.settings.refine is not None:
            self._learn()
        acceptance = self.settle()
        for group, floor in zip(self.groups, least, strict=True):  # a step for the narrowest neck would never leave it
            group.tuning = dataclasses.replace(group.tuning, step_size=max(group.tuning.step_size, floor))
        return acceptance

    def _disappoints(self) -> bool:
        """A first look under a trusted metric: True where acceptance or scores speak against it."""
        segments = []
        for _ in range(2):
            segments.append(self.piece(PIECE))
            error = abs(self._acceptance(segments) - self.target_accept)
            if error < CLOSE:
                break
        self.recent = segments
        if self.settings.refine is None:
            return False
        if self.settings.contradicted is not None and len(self.groups) == 1:
            evidence = evidence_of(self.groups[0].gaussian, segments)
            if evidence is not None and self.settings.contradicted(evidence):
                self.is_refused = self.settings.refused is not None and self.settings.refused(evidence)
                return True
        return self.settings.step_size is None and error > SURPRISING

    def _learn(self) -> None:
        """Windows and refinements until they settle, or the limits of warm-up are reached."""
        refine = self.settings.refine
        assert refine is not None
        for length in window_lengths():
            if self.iterations + length > self._last or self.budget.is_spent(SHARE):
                return
            self.expected = self.iterations + length + 2 * PIECE
            newest = self._window(length)
            if not newest:  # time ran out between two looks at the clock
                return
            self.recent = newest
            for group in self.groups:
                self._refine(group, [segment.of(group.chains) for segment in self.recent], refine)
            self.num_refinements += 1
            if all(group.is_settled for group in self.groups):
                return

    def learn_from(self, segments: list[Segment]) -> None:
        """One more refinement, by draws that were made for another purpose; the step size follows by its own law."""
        group, refine = self.groups[0], self.settings.refine
        if refine is None:
            return
        points, _ = pooled(segments)
        group.before, group.pool = group.tuning.metric, [*bounded(group.pool), *segments]
        group.gaussian = refine(Gaussian(group.gaussian.mean, group.tuning.metric), *pooled(group.pool))
        group.tuning = self._stated(moved_tuning(group.tuning, group.gaussian.metric, points))
        self.num_refinements += 1

    def _refine(self, group: Group, newest: list[Segment], refine) -> None:
        group.pool = [*bounded(group.pool), *newest]
        points, places = pooled(newest)
        learned = refine(Gaussian(group.gaussian.mean, group.tuning.metric), *pooled(group.pool))
        again = refine(learned, points, places)
        # the pool may still hold the way from the starts: then the newest draws alone say something quite different
        group.gaussian = again if _gain(learned.metric, again.metric, points) > QUITE_DIFFERENT else learned
        gain = _gain(group.tuning.metric, group.gaussian.metric, points)
        # on draws that it has not seen: with as many directions as draws each refinement fits its own
        proved = _gain(group.before or group.tuning.metric, group.tuning.metric, points)
        group.before = group.tuning.metric
        error = abs(self._acceptance(newest) - self.target_accept)
        if min(gain, proved) >= GAIN:
            group.num_idle = 0
        elif sum(segment.x.shape[1] for segment in newest) >= PIECE:  # a window cut short says little
            group.num_idle += 1
        group.is_settled = group.num_idle >= ENOUGH_IDLE or bool(
            gain < GAIN
            and self.num_refinements > 0
            and (error < 2 * CLOSE or self.settings.step_size is not None)
            and agreement(newest) > AGREEING_ESS
        )
        group.tuning = self._stated(moved_tuning(group.tuning, group.gaussian.metric, points))

    def settle(self) -> float:
        """Pieces at one step size, until their acceptance is as wanted; that acceptance.

        Draws made since the last change of tuning count: where they are close already, nothing is spent.
        """
        acceptance = self._acceptance(self.recent[-2:]) if self.recent else math.nan
        for attempt in range(MAX_ATTEMPTS):
            if (
                self._is_close(acceptance)
                or (self.settings.step_size is not None and self.recent)
                or self.budget.is_spent(SHARE)
            ):
                break
            self._correct(self.recent[-2:], 1.0 if attempt < 2 else 0.5)
            self.recent = [self.piece(PIECE), self.piece(PIECE)]
            acceptance = self._acceptance(self.recent)
        return acceptance

    def _is_close(self, acceptance: float) -> bool:
        """Near the wanted one, and by a step size not far off: near 1 a small difference means a large factor."""
        factor = corrected_step_size(1.0, acceptance, self.target_accept)
        return abs(acceptance - self.target_accept) < CLOSE and 1.0 / NEAR_STEP < factor < NEAR_STEP

    def piece(self, length: int) -> Segment:
        """`length` draws of every chain, charged and reported."""
        segment = self.chains.advance(self.tunings(), self.kernel, length)
        self._charge(segment.gradients)
        self.iterations += length
        self._piece_length = int(np.clip(PIECE_LEAPFROGS / segment.num_steps.mean(), 2, PIECE))
        self.divergences += int(segment.diverging.sum())
        acceptance, step_size = float(segment.acceptance.mean()), float(self.groups[0].tuning.step_size)
        self.trace.append(Piece(self.iterations, self.gradients, acceptance, step_size, self.num_refinements))
        if self.callback is not None:
            total = max(self.expected, self.iterations)
            self.callback(
                SamplingInfo(
                    "warm-up", self.iterations, total, self.gradients, self.divergences, acceptance, step_size,
                    seconds=self.budget.seconds, kernel=self.kernel,
                )
            )  # fmt: skip
        return segment

    def _window(self, length: int) -> list[Segment]:
        """`length` iterations a chain, fewer where trees are deep; the step sizes are corrected after each piece, less and
        less.
        """
        segments, done, leapfrogs = [], 0, 0.0
        while done < length and leapfrogs < WINDOW_LEAPFROGS * length and not self.budget.is_spent(SHARE):
            segments.append(self.piece(min(self._piece_length, length - done)))
            done += segments[-1].x.shape[1]
            leapfrogs += segments[-1].gradients / self.chains.num_chains
            self._correct(segments[-1:], 1.0 / (1 + done // PIECE))
        return segments

    def _correct(self, segments: list[Segment], weight: float) -> None:
        if self.settings.step_size is not None or not segments:
            return
        for group in self.groups:
            acceptance = self._acceptance([segment.of(group.chains) for segment in segments])
            step = group.tuning.step_size
            wanted = corrected_step_size(step, acceptance, self.target_accept)
            step = math.exp((1 - weight) * math.log(step) + weight * math.log(wanted))
            group.tuning = dataclasses.replace(group.tuning, step_size=step)

    def _acceptance(self, segments: list[Segment]) -> float:
        """Typical acceptance over chains of these draws."""
        weights = [segment.x.shape[1] for segment in segments]
        return float(
            self._pick(np.average([segment.acceptance.mean(axis=1) for segment in segments], axis=0, weights=weights))
        )


def _gain(before, after, points: Evaluations) -> float:
    """C(before)/C(after) on some points; 1 for the same metric, and where there are too few points to tell."""
    if before is after or len(points.x) < FEWEST_POINTS:
        return 1.0
    old, new = (cost_functional(metric, points, folds=2).value for metric in (before, after))
    return old / new if new > 0 else 1.0
