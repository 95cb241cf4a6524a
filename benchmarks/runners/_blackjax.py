"""BlackJAX's NUTS after each of its warm-ups that gives a metric.

Chains run one after the other, so that none waits for the deepest tree; only `auto`, which pools its
four chains, warms them up side by side, and its idle lanes are what ran beyond the engine's own count.
"""

import warnings

import numpy as np

from benchmarks.flat import FlatProblem
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, Run, Stages

METHODS = ("window_diagonal", "window_dense", "low_rank", "auto", "pathfinder")
PACKAGES = ("blackjax", "jax", "jaxlib")
NUM_WARMUP = 1000  # default of `window_adaptation(...).run`; pathfinder_adaptation's is 400
NUM_WARMUP_PATHFINDER = 400
AUTO_BUDGET = 50_000  # required, without a default; the budget for which its gates are calibrated


def import_package() -> None:
    """Import what a user of the package would."""
    import blackjax  # noqa: F401


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """Warm-up as BlackJAX ships it, then `NUM_DRAWS` iterations of its NUTS."""
    import jax

    warnings.filterwarnings("ignore", module="blackjax")
    stages, idle = Stages(flat.counter), 0
    key_warmup, key_sampling = jax.random.split(jax.random.key(seed))
    with stages("warmup"):
        starts = flat.starts(seed, NUM_CHAINS)
        if method == "auto":
            states, parameters, leapfrogs = _warm_up_together(flat, starts, key_warmup)
        else:
            states, parameters = _warm_up_one_by_one(flat, method, starts, key_warmup)
    if method == "auto" and flat.counter is not None:
        idle = stages.gradients["warmup"] - leapfrogs - 2 * NUM_CHAINS  # starts here, and the engine's own `init`
        stages.gradients["warmup"] -= idle
    with stages("sampling"):
        draws, num_steps, diverging = _sample(flat, states, parameters, key_sampling)
    return Run(
        draws, stages.gradients, stages.seconds, int(diverging.sum()), idle_lanes=idle,
        reported=stages.gradients["warmup"] + int(num_steps.sum()),
    )  # fmt: skip


def _no_trace(state, info, adaptation):
    """Keep the number of leapfrogs alone of what an adaptation could record."""
    return info.num_integration_steps


def _mean_trace(state, info, adaptation):
    """Keep what the low-rank warm-up reads back itself: the point from which sampling starts."""
    from blackjax.adaptation.base import AdaptationInfo

    nothing = dict.fromkeys(adaptation._fields) | {"mu_star": adaptation.mu_star}
    return AdaptationInfo(None, None, type(adaptation)(**nothing))


def _algorithm(method: str, log_density):
    import blackjax

    options = {"adaptation_info_fn": _mean_trace if method == "low_rank" else _no_trace}
    if method == "low_rank":
        return blackjax.window_adaptation_low_rank(blackjax.nuts, log_density, **options), NUM_WARMUP
    if method == "pathfinder":
        return blackjax.pathfinder_adaptation(blackjax.nuts, log_density, **options), NUM_WARMUP_PATHFINDER
    diagonal = method == "window_diagonal"
    return blackjax.window_adaptation(blackjax.nuts, log_density, diagonal, **options), NUM_WARMUP


def _warm_up_one_by_one(flat: FlatProblem, method: str, starts, key):
    import jax

    def warm_up(key, start, data):
        algorithm, num_steps = _algorithm(method, lambda x: flat.log_density(x, data))
        (state, parameters), _ = algorithm.run(key, start, num_steps)
        return state, parameters

    one = flat.once("warm-up", lambda: jax.jit(warm_up))
    keys = jax.random.split(key, NUM_CHAINS)
    results = [one(key, start, flat.data) for key, start in zip(keys, starts, strict=True)]
    return jax.block_until_ready(([state for state, _ in results], [parameters for _, parameters in results]))


def _warm_up_together(flat: FlatProblem, starts, key):
    """The controller's own call: it reads its schedule on the host, so data are constants of its program."""
    import blackjax
    import jax

    algorithm = blackjax.staged_adaptation(
        blackjax.nuts, lambda x: flat.log_density(x, flat.data), metric="auto", max_grad_budget=AUTO_BUDGET,
        n_chains=NUM_CHAINS, adaptation_info_fn=_no_trace,
    )  # fmt: skip
    together = jax.numpy.asarray(starts if NUM_CHAINS > 1 else starts[0])  # a single chain has no leading axis there
    (states, parameters), num_steps = jax.block_until_ready(algorithm.run(key, together))
    if NUM_CHAINS == 1:
        return [states], [parameters], int(np.asarray(num_steps).sum())
    apart = [jax.tree.map(lambda leaf: leaf[chain], states) for chain in range(NUM_CHAINS)]  # noqa: B023
    return apart, [parameters] * NUM_CHAINS, int(np.asarray(num_steps).sum())


def _sample(flat: FlatProblem, states, parameters, key):
    import blackjax
    import jax

    kernel = blackjax.nuts.build_kernel()

    def sample(key, state, parameters, data):
        def step(state, key):
            state, info = kernel(key, state, lambda x: flat.log_density(x, data), **parameters)
            return state, (state.position, info.num_integration_steps, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(key, NUM_DRAWS))[1]

    one = flat.once("sampling", lambda: jax.jit(sample))
    keys = jax.random.split(key, NUM_CHAINS)
    results = [one(*row, flat.data) for row in zip(keys, states, parameters, strict=True)]
    return tuple(np.stack([np.asarray(part) for part in parts]) for parts in zip(*results, strict=True))
