"""What a PyMC model says beyond its posterior: pointwise log likelihoods, prior and predictive draws, by PyMC itself."""

import contextlib

import jax
import numpy as np

from monochord.arrays import Key, host_generator

ROWS = 64  # points side by side


def pymc_group(target, group: str, x: np.ndarray, key: Key) -> dict[str, np.ndarray]:
    """Arrays of `group` with leading axis len(x); priors draw as many as `x` has rows, and do not look at it."""
    model = target.model.value
    seed = int(host_generator(key).integers(2**31))
    if group == "log_likelihood":
        return _log_likelihood(target, x)
    with _holding(target):
        if group == "posterior_predictive":
            return _posterior_predictive(target, x, seed)
        import pymc

        drawn = pymc.sample_prior_predictive(len(x), model=model, random_seed=seed, return_inferencedata=False)
    observed = {variable.name for variable in model.observed_RVs}
    if group == "prior_predictive":
        return {name: np.asarray(value) for name, value in drawn.items() if name in observed}
    reported = [variable.name for variable in model.unobserved_RVs]
    prior = {name: np.asarray(drawn[name]) for name in reported if name in drawn}
    if len(prior) < len(reported):
        return prior
    return {name: np.asarray(value) for name, value in jax.vmap(lambda row: target.finish(dict(row)))(prior).items()}


def _log_likelihood(target, x: np.ndarray) -> dict[str, np.ndarray]:
    model = target.model.value
    function = target.translation.value(model.logp(model.observed_RVs, sum=False))
    rows = jax.jit(lambda t, x: jax.lax.map(lambda row: function(*t._arguments(row)), x, batch_size=ROWS))
    values = rows(target, np.asarray(x))
    return {rv.name: np.asarray(value) for rv, value in zip(model.observed_RVs, values, strict=True)}


def _posterior_predictive(target, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    import pymc
    import xarray
    from pymc.model.transform.optimization import freeze_dims_and_data

    model = target.model.value
    rows = jax.jit(lambda t, x: jax.lax.map(lambda row: t.quantities(*t._arguments(row)), x, batch_size=ROWS))
    free = {variable.name for variable in model.free_RVs}
    values = zip(model.unobserved_RVs, rows(target, np.asarray(x)), strict=True)
    variables = {
        rv.name: (
            ("chain", "draw", *(f"{rv.name}_axis_{i}" for i in range(np.ndim(value) - 1))),
            np.asarray(value)[None],
        )
        for rv, value in values
        if rv.name in free
    }
    trace = xarray.Dataset(variables, coords={"chain": [0], "draw": np.arange(len(x))})
    # PyMC draws anew what depends on data or dims that might have changed: frozen, nothing has
    drawn = pymc.sample_posterior_predictive(
        trace, model=freeze_dims_and_data(model), random_seed=seed, progressbar=False, return_inferencedata=False
    )
    return {name: np.asarray(value)[0] for name, value in drawn.items()}


@contextlib.contextmanager
def _holding(target):
    """PyMC's own functions read `pm.Data`: they hold the target's data here, and afterwards what they held before."""
    shared = [variable for variable in target.model.value.data_vars if hasattr(variable, "set_value")]
    before = [variable.get_value() for variable in shared]
    try:
        for variable, old in zip(shared, before, strict=True):
            variable.set_value(np.asarray(target.traced_data[variable.name], old.dtype))
        yield
    finally:
        for variable, old in zip(shared, before, strict=True):
            variable.set_value(old)
