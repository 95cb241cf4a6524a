"""Moments of problems without a closed form: a long run of BlackJAX's NUTS, kept only where its chains agree.

Run: python -m benchmarks.references NAME … [--chains 8] [--draws 5000] [--diagonal] [--accept 0.9]
Writes benchmarks/problems/references/NAME.json: for each quantity the moments with their Monte Carlo standard errors,
and how they were made. Chains start apart (uniform ±2), warm up alone and run one after the other.
"""

import argparse
import dataclasses
import json
import time
from importlib.metadata import version

import numpy as np

from benchmarks import problems
from benchmarks.problems._simulated import NONCENTRED
from benchmarks.problems._stored import FOLDER

NUM_WARMUP = 2000
R_HAT_LIMIT = 1.005  # of each quantity and of its square
ESS_LIMIT = 2000  # then a mean is known to 2.2 % of an sd
# Cauchy tails: the outcomes are separable, so that no likelihood cuts them off.
WITHOUT_MOMENTS = {"horseshoe_122": ("beta", "tau", "lambda")}


def draws_of(flat, options) -> tuple[np.ndarray, int]:
    """Unconstrained draws (chains, draws, dim), and the number of divergences."""
    import blackjax
    import jax

    def chain(key, start, data):
        def log_density(x):
            return flat.log_density(x, data)

        key_warmup, key_sampling = jax.random.split(key)
        adaptation = blackjax.window_adaptation(
            blackjax.nuts, log_density, options.diagonal, target_acceptance_rate=options.accept
        )
        (state, parameters), _ = adaptation.run(key_warmup, start, NUM_WARMUP)
        kernel = blackjax.nuts.build_kernel()

        def step(state, key):
            state, info = kernel(key, state, log_density, **parameters)
            return state, (state.position, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(key_sampling, options.draws))[1]

    one = jax.jit(chain)
    keys = jax.random.split(jax.random.key(options.seed), options.chains)
    starts = flat.starts(options.seed, options.chains)
    results = [one(key, start, flat.data) for key, start in zip(keys, starts, strict=True)]
    return np.stack([np.asarray(x) for x, _ in results]), int(sum(int(diverging.sum()) for _, diverging in results))


def moments_of(scalars: dict[str, np.ndarray]) -> tuple[dict[str, dict], float, float]:
    """Moments by name, the largest R-hat and the smallest ESS, of quantities and of their squares."""
    from arviz_stats.base.array import array_stats

    params, worst_r_hat, least_ess = {}, 0.0, np.inf
    for name, draws in scalars.items():
        for values in (draws, draws**2):
            worst_r_hat = max(worst_r_hat, float(array_stats.rhat(values)))
            least_ess = min(least_ess, float(array_stats.ess(values, method="mean")))
        quantiles = np.quantile(draws, [0.05, 0.5, 0.95])
        params[name] = {
            "mean": draws.mean(), "sd": draws.std(ddof=1), "mcse_mean": float(array_stats.mcse(draws)),
            "mean_sq": (draws**2).mean(), "mcse_mean_sq": float(array_stats.mcse(draws**2)),
            "sd_sq": (draws**2).std(ddof=1), "q05": quantiles[0], "q50": quantiles[1], "q95": quantiles[2],
            "num_draws": draws.size,
        }  # fmt: skip
        params[name] = {
            key: float(f"{value:.8g}") if key != "num_draws" else value for key, value in params[name].items()
        }
    return params, worst_r_hat, least_ess


def accepted(r_hat: float, ess: float) -> bool:
    """Whether chains agree well enough to be a truth."""
    return r_hat < R_HAT_LIMIT and ess > ESS_LIMIT


def write(name: str, params: dict[str, dict], source: str) -> None:
    """Store moments by name, with how they were made."""
    FOLDER.mkdir(exist_ok=True)
    lines = [f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in params.items()]
    text = (
        f'{{"name": {json.dumps(name)}, "source": {json.dumps(source)}, "params": {{\n' + ",\n".join(lines) + "\n}}\n"
    )
    (FOLDER / f"{name}.json").write_text(text)


def make(name: str, options) -> str:
    """Write the file of one problem, or say why its run is not good enough."""
    from benchmarks.flat import flatten
    from benchmarks.runners import Run
    from benchmarks.truth import named_scalars

    problem = dataclasses.replace(NONCENTRED[name]() if name in NONCENTRED else problems.load(name), reference=None)
    flat = flatten(problem)
    started = time.perf_counter()
    draws, divergences = draws_of(flat, options)
    without = WITHOUT_MOMENTS.get(name, ())
    scalars = named_scalars(flat, Run(draws, {}, {}, 0))
    params, r_hat, ess = moments_of({key: value for key, value in scalars.items() if key.split("[")[0] not in without})
    said = f"R-hat at most {r_hat:.4f}, ESS at least {ess:.0f}, {divergences} divergences"
    if not accepted(r_hat, ess):
        return f"{name}: refused, {said}"
    metric = "diagonal" if options.diagonal else "dense"
    where = " in the coordinates of its non-centred form" if name in NONCENTRED else ""
    source = (
        f"BlackJAX {version('blackjax')}, NUTS{where}, {metric} window adaptation of {NUM_WARMUP} steps at {options.accept}, "
        f"{options.chains} chains of {options.draws} draws, seed {options.seed}; {said} (of quantities and squares); "
        "made by benchmarks/references.py"
    )
    write(name, params, source)
    return f"{name}: {said}, {time.perf_counter() - started:.0f} s"


def main() -> None:
    """Make the files of the problems named."""
    import jax

    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accept", type=float, default=0.9, help="acceptance that the warm-up aims at")
    parser.add_argument("--diagonal", action="store_true", help="a diagonal metric, for many dimensions")
    options = parser.parse_args()
    for name in options.names:
        print(make(name, options), flush=True)


if __name__ == "__main__":
    main()
