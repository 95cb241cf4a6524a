"""Other programs' NUTS under exported metrics, on one target written in each program's own language.

Seven coordinates of scales 10⁻³ to 10³ with correlation .95 between neighbours (κ of the correlation 250), in three
parameters whose declared, sorted and PyMC orders all differ, one of them positive. A `Run` holds draws in the fit's order.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import monochord as mc

SCALE = np.array([1e3, 1e-2, 1.0, 1e-3, 1e2, 1e-1, 1e1])
DIM = len(SCALE)
CORRELATION = 0.95 ** np.abs(np.subtract.outer(np.arange(DIM), np.arange(DIM)))
COVARIANCE = CORRELATION * np.outer(SCALE, SCALE)
MEAN = SCALE * np.array([-2.0, 1.5, 0.3, 3.0, -0.7, 2.2, -1.1])
WHITENER = np.linalg.inv(np.linalg.cholesky(CORRELATION)) / SCALE
NAMES = ("zeta[0]", "zeta[1]", "alpha", "mid[0]", "mid[1]", "mid[2]", "mid[3]")
SMALLEST = float(np.sqrt(np.linalg.eigvalsh(COVARIANCE / 1e6)[0] * 1e6))


class Run(NamedTuple):
    """Draws of shape (chains, draws, dim), unconstrained, in the order of `NAMES`; leapfrogs a draw on average; step size."""

    draws: np.ndarray
    leapfrogs: float
    step_size: float


def model(whitener, mean):
    """The target in NumPyro: N(mean, Σ) on (zeta, log alpha, mid)."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.distributions import constraints

    zeta = numpyro.sample("zeta", dist.ImproperUniform(constraints.real, (), (2,)))
    alpha = numpyro.sample("alpha", dist.ImproperUniform(constraints.positive, (), ()))
    mid = numpyro.sample("mid", dist.ImproperUniform(constraints.real, (), (4,)))
    x = jnp.concatenate([zeta, jnp.log(alpha)[None], mid])
    numpyro.factor("density", -0.5 * jnp.sum((whitener @ (x - mean)) ** 2) - jnp.log(alpha))


DATA = {"whitener": WHITENER, "mean": MEAN}


def target():
    """The target as Monochord reads it, from NumPyro."""
    return mc.target(model, data=DATA)


def with_metric(fit: mc.FitResult, covariance: np.ndarray) -> mc.FitResult:
    """`fit` with another metric, Σ = `covariance`, put in its place."""
    metric = mc.DenseMetric.from_covariance(covariance)
    return dataclasses.replace(fit, gaussian=mc.Gaussian(fit.gaussian.mean, metric), choices=())


def with_identity(fit: mc.FitResult) -> mc.FitResult:
    """`fit` with no preconditioning. The step size that keeps its acceptance is `SMALLEST` times as large."""
    return with_metric(fit, np.eye(DIM))


def with_inverse(fit: mc.FitResult) -> mc.FitResult:
    """`fit` with the classic mistake: Σ⁻¹ where Σ belongs."""
    precision = np.asarray(fit.gaussian.metric.solve(np.eye(DIM)))
    return with_metric(fit, (precision + precision.T) / 2)


def starts(fit: mc.FitResult) -> np.ndarray:
    """Draws of the fit, for runs under a metric that has none of its own."""
    return mc.export.to_plain(fit).arrays["initial"]


def ours(fit: mc.FitResult, draws: int, seed: int, step_size: float) -> Run:
    """Monochord's own NUTS under the fit's metric at a fixed step size."""
    tree = mc.sample(
        target(),
        fit=fit,
        metric=fit.gaussian.metric,
        kernel="nuts",
        step_size=step_size,
        draws=draws,
        seed=seed,
        progress=False,
    )
    return Run(tree["unconstrained_posterior"]["x"].values, float(tree["sample_stats"]["n_steps"].mean()), step_size)


def numpyro(fit, draws: int, seed: int, **options) -> Run:
    """NumPyro's NUTS on the model in its own language."""
    from numpyro.infer import MCMC

    export = mc.export.to_numpyro(fit, **options)
    chains = len(export.init_params["mid"])
    mcmc = MCMC(
        export.kernel(model),
        num_warmup=0,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed), init_params=export.init_params, extra_fields=("num_steps",), **DATA)
    steps = np.asarray(mcmc.get_extra_fields()["num_steps"])
    return Run(_stacked(mcmc.get_samples(group_by_chain=True)), float(steps.mean()), export.step_size)


def blackjax(fit, draws: int, seed: int, **options) -> Run:
    """BlackJAX's NUTS on the flat density."""
    chosen = target()
    export = mc.export.to_blackjax(fit, chosen, **options)
    x, steps = _chains(export.algorithm(chosen.log_density), export.initial_states, draws, seed)
    return Run(np.asarray(x), float(np.mean(steps)), export.step_size)


def _chains(kernel, states, draws: int, seed: int):
    def one(key, state):
        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(step, state, jax.random.split(key, draws))[1]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), len(states.position)), states)


def pymc_model():
    """The target in PyMC, its variables in another order."""
    import pymc as pm

    with pm.Model() as made:
        mid = pm.Flat("mid", shape=4)
        alpha = pm.HalfFlat("alpha")
        zeta = pm.Flat("zeta", shape=2)
        x = pm.math.concatenate([zeta, pm.math.log(alpha)[None], mid])
        pm.Potential("density", -0.5 * pm.math.sum((WHITENER @ (x - MEAN)) ** 2) - pm.math.log(alpha))
    return made


def pymc(fit, draws: int, seed: int, **options) -> Run:
    """PyMC's NUTS on the model in its own language, chains one after another."""
    import pymc as pm

    made = pymc_model()
    export = mc.export.to_pymc(fit, made, **options)
    with made:
        tree = pm.sample(
            draws=draws, step=export.step(), **export.sample_options, cores=1, random_seed=seed, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
    found = {name: tree.posterior[name].values for name in ("zeta", "alpha", "mid")}
    return Run(_stacked(found), float(tree.sample_stats["n_steps"].mean()), export.step_size)


def nutpie(fit, draws: int, seed: int, *, holds_step: bool = False, tune: int = 300, **options) -> Run:
    """Nutpie's NUTS on the whitened density; it adapts its step size unless `holds_step`."""
    import nutpie as package

    export = mc.export.to_nutpie(fit, target(), **options)
    chosen = export.sample_options | (export.fixed_step_options if holds_step else {}) | {"tune": tune}
    tree = package.sample(export.model, draws=draws, seed=seed, progress_bar=False, cores=1, **chosen)
    found = {name: tree.posterior[name].values for name in ("zeta", "alpha", "mid")}
    stats = tree.sample_stats
    return Run(_stacked(found), float(stats.n_steps.mean()), float(stats.step_size.mean()))


def mici(fit, draws: int, seed: int, **options) -> Run:
    """Mici's dynamic multinomial HMC on the flat density."""
    export = mc.export.to_mici(fit, target(), **options)
    found = export.sampler(seed).sample_chains(
        0, draws, export.initial_states, display_progress=False, trace_funcs=[lambda state: {"x": state.pos}]
    )
    return Run(np.stack(found.traces["x"]), float(np.mean(found.statistics["n_step"])), export.step_size)


def walnutpie(fit, draws: int, seed: int, **options) -> Run:
    """WALNUTS that never has reason to halve a step, which makes it NUTS.

    Leapfrogs are the distinct points at which it asked for the density; it asks twice at most of them.
    """
    export = mc.export.to_walnutpie(fit, target(), **options)
    seen = set()

    def counted(z):
        seen.add(z.tobytes())
        return export.logp(z)

    held = dataclasses.replace(export, logp=counted)
    found = held.sample(
        max_sampling_iter=draws, min_sampling_iter=draws, seed=seed, max_step_halvings=1, max_hamiltonian_error=1000.0,
        max_trajectory_doublings=10,
    )  # fmt: skip
    return Run(np.stack(found), len(seen) / (draws * len(found)), export.arguments["step_size_init"])


STAN = """
data { int<lower=0> D; matrix[D, D] whitener; vector[D] mean; }
parameters { vector[4] mid; real<lower=0> alpha; vector[2] zeta; }
model {
  vector[D] x = append_row(append_row(zeta, log(alpha)), mid);
  target += -0.5 * dot_self(whitener * (x - mean)) - log(alpha);
}
"""


def cmdstan(fit, draws: int, seed: int, **options) -> Run:
    """CmdStan's NUTS on the model in Stan, its parameters in another order; the environment variable CMDSTAN names its folder."""
    import cmdstanpy

    export = mc.export.to_cmdstan(fit, target(), parameters=["mid", "alpha", "zeta"], **options)
    with tempfile.TemporaryDirectory(prefix="monochord-") as folder:
        path = Path(folder) / "target.stan"
        path.write_text(STAN)
        data = {"D": DIM, "whitener": WHITENER.tolist(), "mean": MEAN.tolist()}
        found = cmdstanpy.CmdStanModel(stan_file=path).sample(
            data=data, iter_sampling=draws, seed=seed, show_progress=False, output_dir=folder, **export.sample_options
        )
        steps = float(np.mean(found.method_variables()["n_leapfrog__"]))
        chains = export.chains
        values = {
            n: found.stan_variable(n).reshape(chains, draws, *s)
            for n, s in (("zeta", (2,)), ("alpha", ()), ("mid", (4,)))
        }
        return Run(_stacked(values), steps, export.step_size)


def _stacked(found: dict[str, np.ndarray]) -> np.ndarray:
    parts = (found["zeta"], np.log(found["alpha"])[..., None], found["mid"])
    return np.concatenate([np.asarray(part) for part in parts], axis=-1)


TAKES_IDENTITY = (
    "numpyro",
    "blackjax",
    "pymc",
    "mici",
    "walnutpie",
    "cmdstan",
)  # nutpie's first metric is a gradient's, then its own
RECEIVERS: dict[str, Callable[..., Run]] = {
    "numpyro": numpyro, "blackjax": blackjax, "pymc": pymc, "nutpie": nutpie, "mici": mici, "walnutpie": walnutpie,
    "cmdstan": cmdstan,
}  # fmt: skip


def is_here(name: str) -> bool:
    """Whether a receiver can run: its package is installed, and for CmdStan the variable CMDSTAN names a folder."""
    import importlib.util

    package = "cmdstanpy" if name == "cmdstan" else name
    return importlib.util.find_spec(package) is not None and (name != "cmdstan" or bool(os.environ.get("CMDSTAN")))
