"""PyMC's own NUTS on a black box: one operation that returns log density and gradient from JAX.

Chains run one after the other in this process, where the counter is.
"""

import logging

import numpy as np

from benchmarks.clock import CLOCK
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
    """Charges what is spent up to each draw to that draw's stage; PyMC calls it after each draw.

    PyMC compiles its functions before the first draw and after the last one, with each call of `pymc.sample`.
    """

    def __init__(self, stages: Stages):
        self.stages, self.compiled, self.is_drawing = stages, _pytensor_seconds(), False
        stages.mark()

    def __call__(self, trace, draw):
        if not self.is_drawing:
            self.is_drawing = True
            self.note_compiling()
        self.stages.charge("warmup" if draw.tuning else "sampling")

    def note_compiling(self) -> None:
        """Tell the clock what PyTensor spent since the last note."""
        compiled = _pytensor_seconds()
        CLOCK.add(compiled - self.compiled)
        self.compiled = compiled


def _pytensor_seconds() -> float:
    """Seconds PyTensor has spent rewriting and linking its graphs."""
    from pytensor.compile import profiling

    return profiling.total_graph_rewrite_time + profiling.total_time_linker


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
        switches.note_compiling()
        stages.charge("sampling")
    draws = np.asarray(trace.posterior["x"].values)
    stats = trace.sample_stats
    reported = int(stats.n_steps.sum() + trace.warmup_sample_stats.n_steps.sum())
    return Run(
        draws, stages.gradients, stages.seconds, int(stats.diverging.sum()), reported=reported,
        details={"acceptance": round(float(stats.acceptance_rate.mean()), 3)},
    )  # fmt: skip
