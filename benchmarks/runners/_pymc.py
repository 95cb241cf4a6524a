"""PyMC's own NUTS on a black box: one operation that returns log density and gradient from JAX.

Chains run one after the other in this process, where the counter is.
"""

import logging

import numpy as np

from benchmarks.flat import FlatProblem
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, Run, Stages

METHODS = ("default", "advi+adapt_diag")
PACKAGES = ("pymc", "pytensor", "jax", "jaxlib")
CALLS_PYTHON = True


def import_package() -> None:
    """Import what a user of the package would."""
    import pymc  # noqa: F401

    logging.getLogger("pymc").setLevel(logging.ERROR)


def _black_box(evaluate):
    """The log density as a PyTensor operation whose second output is its gradient: one call gives both."""
    import pytensor.tensor as pt
    from pytensor.graph.op import Op

    class ValueAndGrad(Op):
        itypes = [pt.dvector]  # noqa: RUF012
        otypes = [pt.dscalar, pt.dvector]  # noqa: RUF012

        def perform(self, node, inputs, outputs):
            value, gradient = evaluate(np.asarray(inputs[0], dtype=np.float64))
            outputs[0][0], outputs[1][0] = np.asarray(value), np.array(gradient)

        def L_op(self, inputs, outputs, output_grads):
            return [output_grads[0] * outputs[1]]

    return ValueAndGrad()


class _Switches:
    """Charges what is spent up to the last warm-up draw of each chain to warm-up, the rest to sampling."""

    def __init__(self, stages: Stages):
        import time

        self.stages, self.clock = stages, time.perf_counter
        self.last, self.stage = (stages.total(), self.clock()), "warmup"

    def charge(self, stage: str) -> None:
        """Charge what was spent since the last call to `stage`."""
        now = (self.stages.total(), self.clock())
        self.stages.gradients[stage] += now[0] - self.last[0]
        self.stages.seconds[stage] += now[1] - self.last[1]
        self.last = now

    def __call__(self, trace, draw):
        """PyMC's callback after each draw; the last one of a stage belongs to that stage."""
        stage = "warmup" if draw.tuning else "sampling"
        self.charge(stage)


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """`pymc.sample` with its default number of warm-up draws, step and target acceptance."""
    import pymc as pm

    stages = Stages(flat.counter)
    evaluate = flat.value_and_grad()
    with stages("warmup"):
        evaluate(flat.center)  # compiles
    with pm.Model():
        x = pm.Flat("x", shape=flat.dim, initval=flat.center)
        pm.Potential("log_density", _black_box(evaluate)(x)[0])
        switches = _Switches(stages)
        trace = pm.sample(
            NUM_DRAWS, chains=NUM_CHAINS, cores=1, random_seed=seed, init="auto" if method == "default" else method,
            progressbar=False, compute_convergence_checks=False, discard_tuned_samples=False, callback=switches,
        )  # fmt: skip
        switches.charge("sampling")
    draws = np.asarray(trace.posterior["x"].values)
    stats = trace.sample_stats
    reported = int(stats.n_steps.sum() + trace.warmup_sample_stats.n_steps.sum())
    return Run(
        draws, stages.gradients, stages.seconds, int(stats.diverging.sum()), reported=reported,
        details={"acceptance": round(float(stats.acceptance_rate.mean()), 3)},
    )  # fmt: skip
