"""What a NumPyro model says beyond its posterior: pointwise log likelihoods, prior and predictive draws."""

from functools import partial
from typing import Any

import jax
import numpy as np

from monochord.arrays import Key
from monochord.targets._base import evaluating

ROWS = 64  # points side by side


def numpyro_group(target, group: str, x: np.ndarray, key: Key) -> dict[str, np.ndarray]:
    """Arrays of `group` with leading axis len(x); priors draw as many as `x` has rows, and do not look at it."""
    keys = jax.random.split(key, len(x))
    with evaluating(target.model):
        made = _all_rows(target, np.asarray(x), keys, group)
    return {name: np.asarray(value) for name, value in made.items()}


@partial(jax.jit, static_argnames="group")
def _all_rows(target, x, keys, group):
    return jax.lax.map(lambda row: _one(target, row[0], row[1], group), (x, keys), batch_size=ROWS)


def _one(target, x, key, group: str) -> dict[str, Any]:
    from numpyro import handlers
    from numpyro.infer.util import constrain_fn

    data = {**target.traced_data, **dict(target.static_data)}
    if group in ("prior", "prior_predictive"):
        drawn = handlers.uncondition(target.model)
    else:
        latent = constrain_fn(target.model, (), data, target.unravel(x))
        drawn = handlers.substitute(target.model, data=latent)
        drawn = handlers.uncondition(drawn) if group == "posterior_predictive" else drawn
    trace = handlers.trace(handlers.seed(drawn, key)).get_trace(**data)
    if group == "log_likelihood":
        return {
            name: site["fn"].log_prob(site["value"])
            for name, site in trace.items()
            if site["type"] == "sample" and site["is_observed"] and not site.get("is_auxiliary")
        }
    wants_observed = group != "prior"
    return {name: site["value"] for name, site in trace.items() if _is_wanted(site, wants_observed)}


def _is_wanted(site, observed: bool) -> bool:
    was_observed = bool(site.get("infer", {}).get("was_observed")) or bool(site.get("is_observed"))
    if site["type"] == "deterministic":
        return not observed
    return site["type"] == "sample" and not site.get("is_auxiliary") and was_observed == observed
