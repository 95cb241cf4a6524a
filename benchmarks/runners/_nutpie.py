"""nutpie with its diagonal or low-rank metric, calling the compiled JAX gradient.

Chains run one after the other: the draws are the same as in threads, which wait for Python's lock here.
"""

import warnings

import numpy as np

from benchmarks.flat import FlatProblem
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, PeerError, Run, Stages

METHODS = ("diagonal", "low_rank")
PACKAGES = ("nutpie", "jax", "jaxlib")
CALLS_PYTHON = True


def import_package() -> None:
    """Import what a user of the package would."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="arviz")
    import nutpie  # noqa: F401


class _Switches:
    """Charges what each chain spends up to its last warm-up draw to warm-up, the rest to sampling.

    nutpie calls `expand` once for each draw it stores, warm-up included.
    """

    def __init__(self, stages: Stages, num_tune: int):
        self.stages, self.num_tune = stages, num_tune
        stages.mark()

    def make_expand(self, seed1, seed2, chain):
        calls = 0

        def expand(x):
            nonlocal calls
            calls += 1
            if calls == self.num_tune:
                self.stages.charge("warmup")
            elif calls == self.num_tune + NUM_DRAWS:
                self.stages.charge("sampling")
            return {"x": np.asarray(x)}

        return expand


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """Nutpie's own number of warm-up draws; its starts jitter around the problem's centre."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    is_low_rank = method == "low_rank"
    settings = nutpie._lib.PyNutsSettings  # the only place that states the default of `tune`
    num_tune = (settings.LowRank if is_low_rank else settings.Diag)(seed).num_tune
    evaluate = flat.value_and_grad()
    stages = Stages(flat.counter)
    with stages("warmup"):
        evaluate(flat.center)  # compiles
    switches = _Switches(stages, num_tune)
    model = from_pyfunc(
        flat.dim, lambda: evaluate, switches.make_expand, [np.dtype("float64")], [(flat.dim,)], ["x"]
    )  # fmt: skip
    trace = nutpie.sample(
        model, draws=NUM_DRAWS, chains=NUM_CHAINS, cores=1, seed=seed, progress_bar=False, init_mean=flat.center,
        low_rank_modified_mass_matrix=is_low_rank,
    )  # fmt: skip
    draws = np.asarray(trace.posterior["x"].values)
    if draws.shape[:2] != (NUM_CHAINS, NUM_DRAWS):
        raise PeerError(f"nutpie returned draws of shape {draws.shape}")
    reported = int(trace.sample_stats.n_steps.sum() + trace.warmup_sample_stats.n_steps.sum())
    return Run(
        draws, stages.gradients, stages.seconds, int(trace.sample_stats.diverging.sum()), reported=reported,
        details={"num_warmup": num_tune, "acceptance": round(float(trace.sample_stats.mean_tree_accept.mean()), 3)},
    )  # fmt: skip
