"""BlackJAX's locally adaptive kernels (GIST) beside our NUTS, on shapes that no metric fits.

For each problem, metric and seed every kernel starts from the same draws of the fit, whose gradients are left out. The step
size is the one that our NUTS has settled on at its target acceptance; for GIST it is the size from which the search of each
transition begins. Gradients are counted at the log density: an engine's own report (`reported`) omits trial steps.
`grads_at_400` takes the smallest of bulk and tail ESS, `grads_at_400_square` also that of (x − mean)². Right means:
R̂ below 1.01, 100 effective draws or more, and no moment further from the truth than both errors allow.

- `nuts/.8`, `nuts/.95`: ours, at that target acceptance
- `gist_step/L`: `blackjax.gist_step_size`, L leapfrogs a trial, step size doubled or halved by each transition
- `gist_length/.8`, `/.95`: `blackjax.gist_trajectory_length` at the step size of that NUTS

The funnel is judged by v alone (x² has a variance of e^18, which no run sees), the horseshoe by its unconstrained
coordinates against a long run of our NUTS at .99.

Run: python -m benchmarks.local_adaptation [--output benchmarks/results/local_adaptation.csv] [problem ...] [--seeds 0 1 2]
"""

import argparse
import csv
import dataclasses
import sys
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.counting import Counter  # noqa: E402
from benchmarks.flat import FlatProblem, flatten  # noqa: E402
from benchmarks.problems import Moment, Problem, load  # noqa: E402
from benchmarks.row import TARGET_ESS  # noqa: E402
from benchmarks.runners import Run  # noqa: E402

PROBLEMS = ("funnel_10", "rosenbrock_10", "horseshoe_122")
KERNELS = {  # draws a chain, so that every kernel spends about as many gradients
    "nuts/.8": 4000, "nuts/.95": 3000, "gist_step/1": 20_000, "gist_step/8": 3000, "gist_step/32": 1000,
    "gist_length/.8": 4000, "gist_length/.95": 2000,
}  # fmt: skip
FEWER = {"horseshoe_122": 5}  # its trees are long
NUM_CHAINS = 4
BURN_IN = 0.05  # of the draws, before them, for GIST
LENGTH_CAP = 1023  # leapfrogs of one trajectory, as for NUTS of depth 10
REFERENCE_DRAWS = 1500
FIELDS = (
    "problem", "metric", "kernel", "seed", "right", "why_not", "grads_at_400", "grads_at_400_square", "gradients_warmup",
    "gradients_sampling", "reported", "draws", "ess_bulk", "ess_tail", "ess_square", "r_hat", "error_sd", "error_z", "z_limit",
    "within", "step_size", "moved",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--output")
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    file = open(options.output, "w", newline="") if options.output else sys.stdout  # noqa: SIM115
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    writer.writeheader()
    for name in options.problems:
        for row in rows(name, options.seeds):
            writer.writerow(row)
            file.flush()


def rows(name: str, seeds):
    """All rows of one problem; its programs compile once."""
    flat = flatten(_judged_problem(load(name)), Counter())
    target = mc.target(flat.density, init=flat.problem.init, data=flat.problem.data)
    for seed in seeds:
        fit = mc.fit(target, seed=seed, maps=False, progress=False)
        starts = fit.gaussian.place(np.random.default_rng(seed).standard_normal((NUM_CHAINS, flat.dim)))
        diagonal = mc.DiagonalMetric(1.0 / np.sqrt(np.asarray(fit.gaussian.metric.precision_diagonal())))
        for metric_name, metric in (("identity", mc.identity_metric(flat.dim)), ("diagonal", diagonal)):
            steps = {}
            if metric_name == "diagonal" and np.ptp(metric.scale) < 1e-6 * metric.scale.max():
                continue  # the same as the identity
            for kernel, num_draws in KERNELS.items():
                num_draws //= FEWER.get(name, 1)
                family, setting = kernel.split("/")
                if family == "nuts":
                    run, details = _nuts(flat, target, fit, metric, starts, seed, float(setting), num_draws)
                    steps[setting] = details["step_size"]
                else:
                    step_size = steps[".8"] if family == "gist_step" else steps[setting]
                    run, details = _gist(flat, family, setting, metric, starts, seed, step_size, num_draws)
                found = {
                    "problem": name,
                    "metric": metric_name,
                    "kernel": kernel,
                    "seed": seed,
                    "draws": NUM_CHAINS * num_draws,
                }
                yield found | details | _judge(flat, run)


def _nuts(flat: FlatProblem, target, fit, metric, starts, seed: int, target_accept: float, num_draws: int):
    """Our NUTS under a metric that stays as it is."""
    before = flat.counter.total
    data = mc.sample(
        target, fit=fit, metric=metric, initial=starts, seed=seed, kernel="nuts", chains=NUM_CHAINS, draws=num_draws,
        target_accept=target_accept, progress=False,
    )  # fmt: skip
    leaves = [np.asarray(data.posterior[name].transpose("chain", "draw", ...).values) for name in target.leaf_names]
    draws = np.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=2)
    attrs = data.sample_stats.attrs
    gradients = {"warmup": int(attrs["gradients_warmup"]), "sampling": int(attrs["gradients_sampling"])}
    counted = flat.counter.total - before - (int(attrs["idle_lanes"]) - fit.cost.idle_lanes)
    assert counted == sum(gradients.values()), f"{counted} gradients ran, {gradients} are reported"
    run = Run(draws, gradients, {}, 0, reported=gradients["sampling"])
    return run, {"step_size": float(attrs["step_size"])}


def _gist(flat: FlatProblem, family: str, setting: str, metric, starts, seed: int, step_size: float, num_draws: int):
    """One of BlackJAX's kernels; chains one after the other, so that no lane idles."""
    program = flat.once(
        f"{family}/{setting if family == 'gist_step' else ''}", lambda: _program(flat, family, setting, num_draws)
    )
    keys = jax.random.split(jax.random.key(seed), NUM_CHAINS)
    gradients, draws, reported, moved = {"warmup": 0, "sampling": 0}, [], 0, []
    variances = jnp.asarray(metric.diagonal())
    for key, x in zip(keys, starts, strict=True):
        for stage, count in (("warmup", int(BURN_IN * num_draws)), ("sampling", num_draws)):
            before = flat.counter.total
            key = jax.random.fold_in(key, count)
            path, steps, accepted = jax.block_until_ready(program(key, x, variances, step_size, count, flat.data))
            gradients[stage] += flat.counter.total - before
            x = path[count - 1]
        draws.append(np.asarray(path)[:count])
        reported += int(steps)
        moved.append(float(accepted) / count)
    run = Run(np.stack(draws), gradients, {}, 0, reported=reported)
    return run, {"step_size": step_size, "moved": round(float(np.mean(moved)), 3)}


def _program(flat: FlatProblem, family: str, setting: str, num_draws: int):
    import blackjax

    if family == "gist_step":
        kernel = partial(blackjax.gist_step_size.build_kernel(), num_integration_steps=int(setting))
    else:
        kernel = blackjax.gist_trajectory_length.build_kernel(max_num_steps=LENGTH_CAP)

    def chain(key, x, variances, step_size, count, data):
        def log_density(x):
            return flat.log_density(x, data)

        def body(i, carry):
            state, path, steps, accepted = carry
            state, info = kernel(jax.random.fold_in(key, i), state, log_density, step_size, variances)
            return (
                state,
                path.at[i].set(state.position),
                steps + info.num_integration_steps,
                accepted + info.is_accepted,
            )

        state = blackjax.gist_step_size.init(x, log_density)
        empty = jnp.zeros((num_draws, x.size))
        return jax.lax.fori_loop(0, count, body, (state, empty, jnp.asarray(0), jnp.asarray(0)))[1:]

    return jax.jit(chain)


def _judge(flat: FlatProblem, run: Run) -> dict:
    """ESS, R̂ and errors; every quantity has its ESS, those with a reference their error."""
    everything = dataclasses.replace(flat, problem=dataclasses.replace(flat.problem, reference=None))
    scalars = truth.named_scalars(everything, run)
    found = truth.diagnose(scalars)
    reference = flat.problem.reference
    found |= truth.errors({name: scalars[name] for name in reference}, reference)
    ess = min(found["ess_bulk"], found["ess_tail"])
    square = min(ess, found["ess_square"])
    spent, sampling = run.gradients["warmup"], run.gradients["sampling"]
    reasons = [
        text
        for bad, text in (
            (not found["r_hat"] < truth.R_HAT_LIMIT, f"R-hat {found['r_hat']:.3f}"),
            (not ess >= truth.ESS_LIMIT, f"ESS {ess:.0f}"),
            (found["within"] is False, f"{found['worst']} off by {found['error_z']:.1f} standard errors"),
        )
        if bad
    ]
    return {name: found[name] for name in FIELDS if name in found} | {
        "grads_at_400": round(spent + sampling * TARGET_ESS / max(ess, 1e-3)),
        "grads_at_400_square": round(spent + sampling * TARGET_ESS / max(square, 1e-3)),
        "gradients_warmup": spent, "gradients_sampling": sampling, "reported": run.reported,
        "right": not reasons, "why_not": "; ".join(reasons),
    }  # fmt: skip


def _judged_problem(problem: Problem) -> Problem:
    """The problem in unconstrained coordinates, with the moments that a row is judged by."""
    reference = problem.reference
    if problem.name.startswith("funnel"):
        reference = {"v": problem.reference["v"]}
    problem = dataclasses.replace(problem, constrain=lambda params, **_: params)
    return dataclasses.replace(problem, reference=reference or _long_run(problem))


def _long_run(problem: Problem) -> dict[str, Moment]:
    """Moments from our NUTS with small steps; chains of their own seed."""
    from arviz_stats.base.array import array_stats

    target = mc.target(problem.log_density, init=problem.init, data=problem.data)
    data = mc.sample(target, seed=1_000, kernel="nuts", draws=REFERENCE_DRAWS, target_accept=0.99, progress=False)
    moments = {}
    for name in target.leaf_names:
        values = np.asarray(data.posterior[name].transpose("chain", "draw", ...).values)
        for index, place in enumerate(np.ndindex(*values.shape[2:])):
            x = values.reshape(*values.shape[:2], -1)[:, :, index]
            label = f"{name}[{','.join(str(i + 1) for i in place)}]" if place else name
            moments[label] = Moment(
                mean=float(x.mean()), sd=float(x.std()), mcse_mean=float(array_stats.mcse(x)), sd_sq=float((x**2).std()),
                mean_sq=float((x**2).mean()), mcse_mean_sq=float(array_stats.mcse(x**2)),
            )  # fmt: skip
            print(f"reference {label}: R-hat {float(array_stats.rhat(x)):.4f}", file=sys.stderr)
    return moments


if __name__ == "__main__":
    main()
