"""What a user writes without Monochord: BlackJAX's NUTS with window adaptation on a NumPyro model.

Run: python benchmarks/bare_blackjax.py MODEL.py DATA.json OUT.npz. Used as the yardstick of
`benchmarks/quick_start.py`; it makes 4 chains of 1000 draws after 1000 adaptation steps.
"""

import importlib.util
import json
import sys

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.util import initialize_model

NUM_CHAINS, NUM_WARMUP, NUM_DRAWS = 4, 1000, 1000


def load(model_path, data_path):
    spec = importlib.util.spec_from_file_location("model", model_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with open(data_path) as file:
        data = json.load(file)
    return module.model, {k: jnp.asarray(v) if isinstance(v, list) else v for k, v in data.items()}


def main(model_path, data_path, output_path):
    jax.config.update("jax_enable_x64", True)
    model, data = load(model_path, data_path)
    key_init, key_warmup, key_sample = jax.random.split(jax.random.key(0), 3)
    initial, potential, postprocess, _ = initialize_model(
        jax.random.split(key_init, NUM_CHAINS), model, model_kwargs=data
    )

    def log_density(params):
        return -potential(params)

    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)

    @jax.jit
    def adapt(keys, positions):
        def one(key, position):
            (state, parameters), _ = warmup.run(key, position, num_steps=NUM_WARMUP)
            return state, parameters

        return jax.vmap(one)(keys, positions)

    kernel = blackjax.nuts.build_kernel()

    @jax.jit
    def sample(keys, states, parameters):
        def one(key, state, parameters):
            def step(state, key):
                state, info = kernel(key, state, log_density, **parameters)
                return state, (state.position, info.num_integration_steps, info.is_divergent)

            return jax.lax.scan(step, state, jax.random.split(key, NUM_DRAWS))[1]

        return jax.vmap(one)(keys, states, parameters)

    states, parameters = adapt(jax.random.split(key_warmup, NUM_CHAINS), initial.z)
    positions, num_steps, divergent = sample(jax.random.split(key_sample, NUM_CHAINS), states, parameters)
    draws = jax.jit(jax.vmap(jax.vmap(postprocess)))(positions)
    np.savez(output_path, **{name: np.asarray(value) for name, value in draws.items()})
    for name in draws:
        ess = blackjax.ess(draws[name])
        print(name, "ess", np.round(np.min(np.asarray(ess))), "rhat", np.round(np.max(blackjax.rhat(draws[name])), 3))
    print("leapfrogs", int(num_steps.sum()), "divergences", int(divergent.sum()))


if __name__ == "__main__":
    main(*sys.argv[1:4])
