"""Monochord itself, through its public names: every metric with both kernels."""

import numpy as np

from benchmarks.clock import CLOCK
from benchmarks.flat import FlatProblem
from benchmarks.runners._run import HAS_STATED_DRAWS, NUM_CHAINS, NUM_DRAWS, STAGES, Run

METRICS = ("auto", "dense", "diagonal", "low_rank", "identity")
KERNELS = ("auto", "nuts", "hmc")
METHODS = (*(f"{metric}/{kernel}" for metric in METRICS for kernel in KERNELS), "no_fit/auto")
TARGET_ESS = 1000  # ours runs until it is reached: R-hat's noise is then well below the limit that rows are judged by
PACKAGES = ("monochord", "jax", "jaxlib", "blackjax", "equinox")


def import_package() -> None:
    """Import what a user of the package would."""
    import monochord as mc

    mc.sample  # noqa: B018  # names load on first use


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """One call of `monochord.sample`; unconstrained draws, as no `constrain` is given."""
    import monochord as mc

    metric, kernel = method.split("/")
    preparing = _preparing_by_stage()
    target = mc.target(flat.density, init=flat.problem.init, data=flat.problem.data)
    options = {"fit": False} if metric == "no_fit" else {"metric": metric}
    options |= {"draws": NUM_DRAWS} if HAS_STATED_DRAWS else {"target_ess": TARGET_ESS}
    data = mc.sample(target, seed=seed, chains=NUM_CHAINS, kernel=kernel, progress=preparing, **options)
    leaves = [np.asarray(data.posterior[name].transpose("chain", "draw", ...).values) for name in target.leaf_names]
    draws = np.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=2)
    attrs = data.sample_stats.attrs
    stages = {stage: int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    return Run(
        draws=draws,
        gradients=stages,
        seconds={stage: float(attrs[f"seconds_{stage}"]) - preparing.seconds[stage] for stage in stages},
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


def _preparing_by_stage():
    """A silent reporter that notes how much of each stage was compiling and importing: our own seconds include them."""
    from monochord.progress import Reporter

    class PreparingByStage(Reporter):
        def __init__(self):
            self.last, self.seconds = CLOCK.preparing(), dict.fromkeys(STAGES, 0.0)

        def charge(self, stage: str) -> None:
            now = CLOCK.preparing()
            self.seconds[stage] += now - self.last
            self.last = now

        def fit_done(self, result) -> None:
            self.charge("fit")

        def sampling(self, info) -> None:
            self.charge("sampling" if info.stage == "sampling" else "warmup")

        def sampling_done(self, draws) -> None:
            self.charge("sampling")

    return PreparingByStage()
