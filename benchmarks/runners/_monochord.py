"""Monochord itself, through its public names: every metric with both kernels."""

import time

import numpy as np

from benchmarks.clock import CLOCK
from benchmarks.flat import FlatProblem
from benchmarks.runners._run import HAS_STATED_DRAWS, NUM_CHAINS, NUM_DRAWS, STAGES, Run

METRICS = ("auto", "dense", "diagonal", "low_rank", "identity")
KERNELS = ("auto", "nuts", "hmc")
METHODS = (*(f"{metric}/{kernel}" for metric in METRICS for kernel in KERNELS), "no_fit/auto")
TARGET_ESS = 1600  # ours runs until it is reached: R-hat's noise is then well below the limit that rows are judged by
PACKAGES = ("monochord", "jax", "jaxlib", "blackjax", "equinox")


def import_package() -> None:
    """Import what a user of the package would."""
    import monochord as mc

    mc.sample  # noqa: B018  # names load on first use


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """One call of `monochord.sample`; unconstrained draws, as no `constrain` is given."""
    import monochord as mc

    metric, kernel = method.split("/")
    ends = _end_of_stages()
    target = mc.target(flat.density, init=flat.problem.init, data=flat.problem.data)
    options = {"fit": False} if metric == "no_fit" else {"metric": metric}
    options |= {"draws": NUM_DRAWS} if HAS_STATED_DRAWS else {"target_ess": TARGET_ESS}
    data = mc.sample(target, seed=seed, chains=NUM_CHAINS, kernel=kernel, progress=ends, **options)
    leaves = [np.asarray(data.posterior[name].transpose("chain", "draw", ...).values) for name in target.leaf_names]
    draws = np.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=2)
    attrs = data.sample_stats.attrs
    stages = {stage: int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    return Run(
        draws=draws,
        gradients=stages,
        seconds=ends.work
        if "weights" in attrs
        else {stage: ends.without_preparing(stage, float(attrs[f"seconds_{stage}"])) for stage in stages},
        divergences=int(data.sample_stats.diverging.sum()),
        idle_lanes=int(attrs["idle_lanes"]),
        reported=sum(stages.values()) + int(attrs["idle_lanes"]),
        details={
            "verdict": attrs["verdict"],
            "kernel": attrs["kernel"],
            "fit_status": attrs["fit_status"],
            "acceptance": round(float(data.sample_stats.acceptance_rate.mean()), 3),
        },
    )


def _end_of_stages():
    """A silent reporter that notes when each stage ended: what is known of compiling and importing is when they ran.

    A run over modes goes through each stage once a mode: `work` sums the seconds between reports, without compiling and importing.
    """
    from monochord.progress import Reporter

    class EndOfStages(Reporter):
        def __init__(self):
            self.ends, self.work = dict.fromkeys(STAGES, time.perf_counter()), dict.fromkeys(STAGES, 0.0)
            self._mark = CLOCK.working()

        def without_preparing(self, stage: str, seconds: float) -> float:
            """What is left of a stage's own seconds; all but nothing where others' compiling went on all the while."""
            end = self.ends[stage]
            return max(0.0, seconds - CLOCK.preparing_within(end - seconds, end))

        def _reached(self, stage: str) -> None:
            self.ends[stage], now = time.perf_counter(), CLOCK.working()
            self.work[stage] += max(0.0, now - self._mark)
            self._mark = now

        def fit_step(self, info) -> None:
            ended = self.ends["fit"]
            self._reached("fit")
            self.ends["fit"] = ended

        def fit_done(self, result) -> None:
            self._reached("fit")

        def sampling(self, info) -> None:
            self._reached("sampling" if info.stage == "sampling" else "warmup")

        def sampling_done(self, draws) -> None:
            self._reached("sampling")

    return EndOfStages()
