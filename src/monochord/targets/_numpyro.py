"""`NumPyroTarget`: a NumPyro model, on NumPyro's own unconstrained coordinates."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, final

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from monochord.arrays import Array
from monochord.errors import MissingPackage, ModelError
from monochord.targets._base import (
    AbstractTarget,
    check_names,
    cut,
    evaluating,
    output_name,
    reported_shapes,
    scalar_names,
    split_data,
)
from monochord.targets._labels import Labels


@final
class NumPyroTarget(AbstractTarget):
    """``model(**data)`` with NumPyro `sample` statements. Build it with `numpyro_target`.

    Coordinates follow the order of the model's sample statements; each site is transformed by
    NumPyro's bijector for its support. Deterministic sites are part of `constrain`; plates name the axes of the output.
    """

    center: Float[Array, " dim"]
    traced_data: dict[str, Any]
    static_data: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    model: Callable = eqx.field(static=True)
    sites: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    observed: tuple[tuple[str, str], ...] = eqx.field(static=True)  # (site, argument that is observed there)
    labels: Labels = eqx.field(static=True)

    def log_density(self, x):
        from numpyro.infer.util import potential_energy

        with evaluating(self.model):
            return -potential_energy(self.model, (), self._data(), self.unravel(x))

    def constrain(self, x):
        from numpyro.infer.util import constrain_fn

        return constrain_fn(self.model, (), self._data(), self.unravel(x), return_deterministic=True)

    def unravel(self, x: Float[Array, " dim"]) -> dict[str, Array]:
        """Unconstrained values by site at a flat point."""
        names, shapes = zip(*self.sites, strict=True)
        return dict(zip(names, cut(x, shapes), strict=True))

    def observed_data(self):
        return {site: np.asarray(self.traced_data[argument]) for site, argument in self.observed}

    def group(self, group, x, key):
        from monochord.targets._numpyro_groups import numpyro_group

        return numpyro_group(self, group, x, key)

    def hierarchies(self):
        from monochord.targets._numpyro_centring import numpyro_hierarchies

        return numpyro_hierarchies(self)

    def _data(self):
        return {**self.traced_data, **dict(self.static_data)}


def numpyro_target(
    model: Callable, data: Mapping[str, Any] | None = None, labels: Labels | None = None
) -> NumPyroTarget:
    """Target from a NumPyro model called as ``model(**data)``.

    The model is run once abstractly (nothing is computed) to read its sites.

    **Raises** `MissingPackage` without NumPyro; `ModelError` for a model without latent sites, with
    discrete latent sites, or with `param` sites; whatever the model itself raises passes through.
    """
    try:
        import numpyro  # noqa: F401
    except ImportError:
        raise MissingPackage("numpyro", "a model given without `init`", extra="numpyro") from None
    traced, static = split_data(data or {})
    _check_call(model, {**traced, **dict(static)})
    shapes, observed, axes = _read_sites(model, traced, dict(static))
    check_names(shapes)
    sites = tuple(shapes.items())
    names = tuple(entry for name, shape in sites for entry in scalar_names(name, shape))
    if not names:
        raise ModelError(
            f"the model `{getattr(model, '__name__', 'model')}` has no latent sample sites. There is nothing to sample. "
            "Add `numpyro.sample` statements without `obs`; for a plain JAX log density pass `init=` "
            "(in a model file: define `log_density(params, **data)` and `init(**data)`)."
        )
    target = NumPyroTarget(
        center=np.zeros(len(names)),
        traced_data=traced,
        static_data=static,
        names=names,
        model=model,
        sites=sites,
        observed=observed,
        labels=(labels or Labels()).with_default_dims(axes),
    )
    if labels is not None and (labels.dims or labels.coords):
        data_shapes = {name: value.shape for name, value in target.observed_data().items()}
        target.labels.check(data_shapes | reported_shapes(target))
    return target


def _read_sites(model, traced, static):
    """Unconstrained shape of each latent site, which arguments are observed, and axes that are plates: an abstract run."""
    from numpyro import handlers
    from numpyro.distributions import biject_to
    from numpyro.infer import init_to_uniform

    shapes, observed, axes = {}, [], {}

    def run(key, traced):
        # starts, not prior draws: an improper prior has none
        started = handlers.substitute(handlers.seed(model, key), substitute_fn=init_to_uniform)
        trace = handlers.trace(started).get_trace(**traced, **static)
        for name, site in trace.items():
            if site["type"] == "param":
                raise ModelError(
                    f"the model has the `numpyro.param` site `{name}`. Sampling has no value for it, as it is not a "
                    "random variable. Give it a prior with `numpyro.sample`, or pass it as data."
                )
            if plates := _plates_along(name, site):
                axes[name] = plates
            if site["type"] != "sample" or site.get("is_auxiliary"):
                continue
            if site["is_observed"]:
                observed.extend((name, argument) for argument, value in traced.items() if value is site["value"])
                continue
            if site["fn"].support.is_discrete:
                raise ModelError(
                    f"the latent site `{name}` is discrete ({type(site['fn']).__name__}). Hamiltonian samplers need "
                    "gradients, which discrete sites lack. Sum it out by hand (for a mixture: "
                    "`numpyro.distributions.MixtureGeneral`), or use NumPyro's own samplers with enumeration."
                )
            transform = biject_to(site["fn"].support)
            shapes[name] = tuple(transform.inverse_shape(jax.numpy.shape(site["value"])))
        return 0.0

    with evaluating(model):
        jax.eval_shape(run, jax.random.key(0), traced)
    return shapes, tuple(observed), axes


def _check_call(model: Callable, data: dict[str, Any]) -> None:
    """**Raises** `ModelError` where `model` does not take `data` as its arguments."""
    try:
        inspect.signature(model).bind(**data)
    except TypeError as error:
        name = getattr(model, "__name__", "the model")
        raise ModelError(
            f"the model `{name}` cannot be called with the data {sorted(data) or '(none)'}: {error}. Without `init=` a function is "
            "taken for a NumPyro model, called as `model(**data)`. Pass what it lacks as `data=`; if it is a JAX log density of "
            "its parameters, pass `init=` too, for example init={'mu': 0.0}."
        ) from error
    except ValueError:  # a callable without a signature: its call will show
        return


def _plates_along(name: str, site) -> list[str]:
    """Names of the axes of a site that lies in plates; empty where they cannot be told."""
    frames, shape = site.get("cond_indep_stack") or [], jax.numpy.shape(site["value"])
    if site["type"] not in ("sample", "deterministic") or not frames:
        return []
    batch = len(shape) - (site["fn"].event_dim if site["type"] == "sample" else 0)
    if site["type"] == "deterministic" and batch != max(-frame.dim for frame in frames):
        return []  # it may have axes of its own
    axes = [f"{output_name(name)}_dim_{axis}" for axis in range(len(shape))]
    for frame in frames:
        if not 0 <= batch + frame.dim < batch or shape[batch + frame.dim] != frame.size:
            return []
        axes[batch + frame.dim] = output_name(frame.name)
    return axes
