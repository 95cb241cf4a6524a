"""Hierarchies of a NumPyro model: what sets the location and scale of its latent sites, and the model with some of them rewritten.

The rewriting is NumPyro's own, `numpyro.handlers.reparam` with `LocScaleReparam` (Gorinova, Moore & Hoffman 2020, "Automatic
Reparameterisation of Probabilistic Programs").
"""

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from monochord.targets._base import evaluating
from monochord.targets._hierarchy import Hierarchy
from monochord.targets._numpyro import NumPyroTarget

FAMILIES = ("Normal", "StudentT", "Cauchy", "Laplace", "Logistic", "Gumbel")
SHAPES = {"StudentT": ("df",)}  # what a family takes beside location and scale


class SiteMoments(NamedTuple):
    """Of a site at draws, each of shape (draws, *site): value, scale of its prior, and the prior's score."""

    value: np.ndarray
    scale: np.ndarray
    score: np.ndarray


def numpyro_hierarchies(target: NumPyroTarget) -> tuple[Hierarchy, ...]:
    """One for each latent site of a location–scale family whose scale depends on another latent site."""
    from numpyro.infer.util import constrain_fn
    from numpyro.ops.provenance import eval_provenance

    with evaluating(target.model):
        latent = constrain_fn(target.model, (), target._data(), target.unravel(jnp.asarray(target.center, float)))
        found = eval_provenance(lambda **values: _parameters(target, values), **latent)
    known, hierarchies = set(latent), []
    for name, (location, scale) in found.items():
        if of_scale := sorted((set(scale) & known) - {name}):
            parents = tuple(dict.fromkeys([*sorted((set(location) & known) - {name}), *of_scale]))
            hierarchies.append(Hierarchy(name, parents, (line({name: 0.0}),)))
    return tuple(hierarchies)


def site_moments(target: NumPyroTarget, x: np.ndarray, names: tuple[str, ...]) -> dict[str, SiteMoments]:
    """`SiteMoments` of `names` at unconstrained points (draws, dim)."""
    with evaluating(target.model):
        found = jax.jit(jax.vmap(lambda t, row: _moments(t, row, names), (None, 0)), static_argnums=())(target, x)
    return {name: SiteMoments(*(np.asarray(part) for part in parts)) for name, parts in found.items()}


def line(centredness: Mapping[str, Any]) -> str:
    """What writes a model so by hand."""
    config = ", ".join(f'"{name}": LocScaleReparam({_short(value)})' for name, value in centredness.items())
    return f"model = numpyro.handlers.reparam(model, config={{{config}}})"


def rewritten(
    model: Callable, centredness: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[str, ...]]
) -> Callable:
    """`model` under NumPyro's handler, with the signature of `model`."""
    from numpyro import handlers
    from numpyro.infer.reparam import LocScaleReparam

    config: Any = {
        name: LocScaleReparam(np.asarray(value), shape_params=shapes[name]) for name, value in centredness.items()
    }
    return update_wrapper(handlers.reparam(model, config=config), model)


def shape_parameters(target: NumPyroTarget, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Further parameters of the family of each site."""
    kinds: dict[str, tuple[str, ...]] = {}

    def look(row):
        trace = _trace(target, _latent(target, row))
        kinds.update({name: SHAPES.get(type(_unwrapped(trace[name]["fn"])).__name__, ()) for name in names})
        return 0.0

    with evaluating(target.model):
        jax.eval_shape(look, jnp.asarray(target.center, float))
    return kinds


def _short(value) -> str:
    rounded = np.round(np.asarray(value, float), 2)
    return f"{float(rounded.ravel()[0]):g}" if np.ptp(rounded) == 0 else f"np.array({rounded.tolist()})"


def _latent(target, row):
    from numpyro.infer.util import constrain_fn

    return constrain_fn(target.model, (), target._data(), target.unravel(row))


def _trace(target, latent):
    from numpyro import handlers

    model = handlers.substitute(handlers.seed(target.model, 0), data=latent)
    return handlers.trace(model).get_trace(**target._data())


def _unwrapped(distribution):
    while hasattr(distribution, "base_dist") and type(distribution).__name__ in (
        "ExpandedDistribution", "Independent", "MaskedDistribution",
    ):  # fmt: skip
        distribution = distribution.base_dist
    return distribution


def _sites(target, trace):
    """Latent sites of location–scale families, on the whole line."""
    for name, _ in target.sites:
        base = _unwrapped(trace[name]["fn"])
        if type(base).__name__ in FAMILIES:
            yield name, base, trace[name]["value"]


def _parameters(target, latent):
    return {name: (base.loc, base.scale) for name, base, _ in _sites(target, _trace(target, latent))}


def _moments(target, row, names):
    trace = _trace(target, _latent(target, row))
    return {
        name: (value, jnp.broadcast_to(base.scale, jnp.shape(value)), jax.grad(lambda v, b=base: jnp.sum(b.log_prob(v)))(value))
        for name, base, value in _sites(target, trace)
        if name in names
    }  # fmt: skip
