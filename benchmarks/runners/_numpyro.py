"""NumPyro's NUTS on the potential, with a diagonal or dense mass matrix; chains one after the other.

NumPyro compiles its loop anew for each chain and call, also for the same `MCMC` object: its warm runs compile too.
"""

import numpy as np

from benchmarks.flat import FlatProblem
from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, Run, Stages

METHODS = ("diagonal", "dense")
PACKAGES = ("numpyro", "jax", "jaxlib")
COMPILES_BETWEEN_CHAINS = True
NUM_WARMUP = 1000  # it has no default; Stan's


def import_package() -> None:
    """Import what a user of the package would."""
    import numpyro  # noqa: F401


def run(flat: FlatProblem, method: str, seed: int) -> Run:
    """`numpyro.infer.MCMC` with every other option at its default."""
    import jax

    stages = Stages(flat.counter)
    mcmc = flat.once("mcmc", lambda: _sampler(flat, method))
    with stages("warmup"):
        starts = jax.numpy.asarray(flat.starts(seed, NUM_CHAINS))
        starts = starts if NUM_CHAINS > 1 else starts[0]  # NumPyro gives a single chain no leading axis
        mcmc.warmup(jax.random.key(seed), init_params=starts, extra_fields=("num_steps",), collect_warmup=True)
        reported = int(np.asarray(mcmc.get_extra_fields()["num_steps"]).sum())
    with stages("sampling"):
        mcmc.run(mcmc.post_warmup_state.rng_key, extra_fields=("num_steps", "diverging", "accept_prob"))
        draws = np.asarray(mcmc.get_samples(group_by_chain=True))
        fields = {name: np.asarray(value) for name, value in mcmc.get_extra_fields().items()}
    return Run(
        draws, stages.gradients, stages.seconds, int(fields["diverging"].sum()),
        reported=reported + int(fields["num_steps"].sum()),
        details={"acceptance": round(float(fields["accept_prob"].mean()), 3)},
    )  # fmt: skip


def _sampler(flat: FlatProblem, method: str):
    from numpyro.infer import MCMC, NUTS

    kernel = NUTS(potential_fn=lambda x: -flat.log_density(x, flat.data), dense_mass=method == "dense")
    return MCMC(
        kernel, num_warmup=NUM_WARMUP, num_samples=NUM_DRAWS, num_chains=NUM_CHAINS, chain_method="sequential",
        progress_bar=False,
    )  # fmt: skip
