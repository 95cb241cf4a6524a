"""A fit is saved, loaded, measured on other data, and handed to two samplers that are not Monochord's.

Run: python examples/take_it_elsewhere.py
"""

from pathlib import Path
from tempfile import mkdtemp

import jax
import jax.numpy as jnp
import numpy as np

import monochord as mc

jax.config.update("jax_enable_x64", True)


def log_density(params, X, y):
    """Logistic regression on columns of very unequal scales."""
    logits = X @ params["slope"] + params["intercept"]
    return jnp.sum(y * logits - jnp.logaddexp(0.0, logits)) - 0.5 * params["intercept"] ** 2 / 25.0


def survey(rng):
    """600 answers: age in days, income, and their sum with a little noise."""
    age, income = rng.normal(15_000.0, 4_000.0, 600), rng.lognormal(10.0, 0.4, 600)
    X = np.stack(
        [age - 15_000.0, income - 24_000.0, (age + income - 39_000.0) / 1e4 + rng.normal(0.0, 0.3, 600)], axis=1
    )
    y = rng.random(600) < 1.0 / (1.0 + np.exp(-X @ np.array([2e-4, -5e-5, 0.3])))
    return {"X": X, "y": y.astype(float)}


def main():
    rng = np.random.default_rng(1)
    init = {"slope": np.zeros(3), "intercept": 0.0}
    first, second = (mc.target(log_density, init=init, data=survey(rng)) for _ in range(2))
    folder = Path(mkdtemp(prefix="monochord-"))

    mc.fit(first, seed=0).save(folder / "fit.npz")
    fit = mc.load(folder / "fit.npz")
    print(f"first survey: {fit.verdict}, {fit.cost.gradients} gradients")

    measured = mc.refit(fit, second, seed=0)
    print(f"second survey, the same fit: {measured.verdict}. {measured.reasons[0]}")
    fit = mc.fit(second, start=fit, seed=0)
    print(f"second survey, begun with it: {fit.verdict}, {fit.cost.gradients} gradients")

    export = mc.export.to_blackjax(fit, second)
    print(export)
    step = jax.jit(jax.vmap(export.algorithm(second.log_density).step))
    states, leapfrogs = export.initial_states, []
    for key in jax.random.split(jax.random.key(0), 100):
        states, info = step(jax.random.split(key, 4), states)
        leapfrogs.append(info.num_integration_steps)
    print(f"BlackJAX: {np.mean(leapfrogs):.1f} leapfrogs a draw")

    for path in mc.export.to_cmdstan(fit, second).write(folder / "stan"):
        print(f"for CmdStan: {path}")


if __name__ == "__main__":
    main()
