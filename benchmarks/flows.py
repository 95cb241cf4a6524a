"""Whether a normalising flow pays where a linear metric fails: its training charged, runs to an ESS of 400, answers judged as in `benchmarks.maps`.

Run: python -m benchmarks.flows [problem ...] [--flows coupling autoregressive] [--points 5000 20000] [--seeds 0 1] [--output benchmarks/results/flows.csv]
     python -m benchmarks.flows --table
The flow (`pip install flowjax`; Ward 2024) is trained by reverse KL (Adam, batches of 32, cosine decay) in the whitened coordinates of the linear fit, from
the identity on, and then taken for a map: the chains run on the density pulled back along it, by `mc.sample` at its defaults, whose own linear
fit is charged too. `total` counts the first fit, the training, the second fit, warm-up and sampling.
"""

import argparse
import time
import warnings
from itertools import product
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import equinox as eqx  # noqa: E402
import optax  # noqa: E402
from flowjax import bijections, distributions, flows  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks.flat import flatten  # noqa: E402
from benchmarks.maps import LEAST_ESS, mc_convergence, z_scores  # noqa: E402
from benchmarks.missing_rows import append_missing, read_csv  # noqa: E402
from benchmarks.problems import load  # noqa: E402

PATH = Path(__file__).parent / "results" / "flows.csv"
PROBLEMS = (
    "funnel_10",
    "rosenbrock_10",
    "eight_schools-eight_schools_centered",
    "gp_pois_regr-gp_pois_regr",
    "student3_50",
)
MAX_GRADIENTS = 200_000  # of the chains
BATCH, RATE = 32, 3e-3
FIELDS = (
    "problem", "flow", "points", "seed", "right", "why_not", "total", "linear_fit", "training", "second_fit", "warmup", "sampling",
    "verdict", "kernel", "elbo_gain", "ess", "error_z", "seconds",
)  # fmt: skip


def make_flow(kind: str, key, dim: int):
    """A flow that begins near the identity."""
    base = distributions.Normal(jnp.zeros(dim))
    spline = bijections.RationalQuadraticSpline(knots=8, interval=5)
    if kind == "coupling":
        return flows.coupling_flow(key, base_dist=base, transformer=spline, flow_layers=6, nn_width=48, invert=False)
    return flows.masked_autoregressive_flow(
        key, base_dist=base, transformer=spline, flow_layers=3, nn_width=48, invert=False
    )


def trained(flow, density, center, factor, points: int, seed: int):
    """Bijection u ↦ z after reverse-KL training on `points` gradients; x = center + factor·z; and its ELBO before and after."""
    bijection = flow.bijection
    parameters, static = eqx.partition(bijection, eqx.is_inexact_array)
    steps = points // BATCH
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(optax.cosine_decay_schedule(RATE, steps)))

    def loss(parameters, u):
        along = eqx.combine(parameters, static)
        z, log_det = jax.vmap(along.transform_and_log_det)(u)
        return -jnp.mean(jax.vmap(lambda z: density(center + factor @ z))(z) + log_det)

    def step(carry, key):
        parameters, state = carry
        u = jax.random.normal(key, (BATCH, center.shape[0]))
        value, gradient = jax.value_and_grad(loss)(parameters, u)
        gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0.0), gradient)
        updates, state = optimiser.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), value

    run = jax.jit(lambda parameters, keys: jax.lax.scan(step, (parameters, optimiser.init(parameters)), keys))
    (parameters, _), values = run(parameters, jax.random.split(jax.random.key(seed), steps))
    tenth = max(1, steps // 10)
    return eqx.combine(parameters, static), float(jnp.mean(values[:tenth]) - jnp.mean(values[-tenth:]))


def row(name: str, kind: str, points: int, seed: int) -> dict:
    """One flow and one run along it."""
    start = time.perf_counter()
    problem = load(name)
    flat = flatten(problem)
    density = lambda x: flat.log_density(x, flat.data)  # noqa: E731
    linear = mc.fit(mc.target(density, init=flat.center), seed=seed, maps=False, progress=False)
    center, factor = jnp.asarray(linear.gaussian.mean), jnp.linalg.cholesky(jnp.asarray(linear.gaussian.metric.dense()))
    flow = make_flow(kind, jax.random.key(seed + 1000), flat.dim)
    along, gain = trained(flow, density, center, factor, points, seed)

    def pulled_back(u):
        z, log_det = along.transform_and_log_det(u)
        return density(center + factor @ z) + log_det

    target = mc.target(pulled_back, init=np.zeros(flat.dim))
    fit = mc.fit(target, seed=seed, maps=False, progress=False)
    data = mc.sample(target, fit=fit, seed=seed, max_gradients=MAX_GRADIENTS, progress=False)
    u = data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    x = np.asarray(center + jax.vmap(along.transform)(jnp.asarray(u.reshape(-1, flat.dim))) @ factor.T).reshape(u.shape)
    attrs, (ess, _), (scores, limit) = data.sample_stats.attrs, mc_convergence(x), z_scores(problem, x)
    worst = max(scores, key=lambda key: scores[key])
    reasons = [attrs["status"]] if attrs["status"] != "target ESS reached" else []
    reasons += [f"ESS {ess:.0f}"] if not ess >= LEAST_ESS else []
    reasons += [f"{worst} off by {scores[worst]:.1f} standard errors"] if not scores[worst] <= limit else []
    spent = {
        "linear_fit": linear.cost.gradients, "training": points // BATCH * BATCH, "second_fit": int(attrs["gradients_fit"]),
        "warmup": int(attrs["gradients_warmup"]), "sampling": int(attrs["gradients_sampling"]),
    }  # fmt: skip
    return {
        "problem": name, "flow": kind, "points": points, "seed": seed, "right": not reasons, "why_not": "; ".join(reasons),
        "total": sum(spent.values()), **spent, "verdict": attrs["verdict"], "kernel": attrs["kernel"],
        "elbo_gain": round(gain, 2), "ess": round(ess), "error_z": round(scores[worst], 2),
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def table(rows: list[dict]) -> str:
    """Markdown: medians over seeds."""
    lines = ["| problem | flow | points of training | right | total | verdict | seconds |", "|---" * 7 + "|"]
    for key in dict.fromkeys((row["problem"], row["flow"], row["points"]) for row in rows):
        here = [row for row in rows if (row["problem"], row["flow"], row["points"]) == key]
        right = sum(row["right"] == "True" for row in here)
        total, seconds = (median(float(row[what]) for row in here) for what in ("total", "seconds"))
        verdicts = ", ".join(sorted({row["verdict"] for row in here}))
        lines.append(
            f"| {key[0]} | {key[1]} | {int(key[2]):,} | {right} of {len(here)} | {total / 1e3:.1f} k | {verdicts} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Make the rows that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--flows", nargs="+", default=("coupling", "autoregressive"))
    parser.add_argument("--points", type=int, nargs="+", default=(5_000, 20_000))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1))
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.table:
        print(table(read_csv(options.output)))
        return
    append_missing(
        options.output,
        FIELDS,
        product(options.problems, options.flows, options.points, options.seeds),
        ("problem", "flow", "points", "seed"),
        row,
    )


if __name__ == "__main__":
    main()
