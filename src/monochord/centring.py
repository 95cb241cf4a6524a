"""`reparametrised`: a NumPyro model whose hierarchies are as far centred as its data ask for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from monochord import pipeline
from monochord.arguments import resolved_seed
from monochord.arrays import host_generator, named_key
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.mapping import in_coordinates_of
from monochord.targets import NumPyroTarget, evaluate

NUM_DRAWS = 128
# λ is that of small scales: a site centred more than its data ask for has a neck where its scale is small, one centred less only widens.
# On varying slopes the mean over draws costs two to three times what this does
LOW = 0.05
LITTLE = 0.1  # centredness below which a site is written without any
KEPT = 0.9  # of the draws: those nearest to a coordinate's median; far ones of a poor fit say nothing of the data


class Reparametrised:
    """``model(**data)`` with some sites reparametrised; `centredness` maps each to an array of its shape, `line` writes it by hand."""

    def __init__(self, model, centredness: dict[str, np.ndarray], line: str):
        self.centredness, self.line, self.__wrapped__ = centredness, line, model
        self.__name__ = getattr(model, "__name__", "model")

    def __call__(self, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)

    def __str__(self) -> str:
        ranges = [
            f"{name}: centredness {np.min(value):.2f} to {np.max(value):.2f}"
            for name, value in self.centredness.items()
        ]
        return "\n".join([*(ranges or ["no site has a scale that depends on another"]), self.line])


def reparametrised(
    model: Any, fit: FitResult, *, data: Mapping[str, Any] | None = None, seed: int | None = None
) -> Reparametrised:
    """`model`, a NumPyro model, with its location–scale sites centred as far as the data inform them, by NumPyro's own handler.

    A site x ~ F(m, s) whose scale is set by other latent sites is written as x = m + s^(1−λ)(u − λm) with u ~ F(λm, s^λ), λ = 1
    centred and 0 not (`numpyro.infer.reparam.LocScaleReparam`). λ is learned for each entry from draws of `fit`, in the coordinates of its map if it
    has one: the prior's precision 1/s² is known, that of the data, τ, is the slope of the rest of the score on x, and λ is τ/(τ + 1/s²) at its 5 % quantile over the draws, 0 where that is below .1
    (Papaspiliopoulos, Roberts & Sköld 2007, section 3; VIP learns λ by gradients of the ELBO instead, Gorinova, Moore & Hoffman 2020).
    Costs 128 gradients. The returned model is called like `model`; draws of it hold the site itself and `<site>_decentered`.

    **Raises** `OptionError` for anything but a NumPyro model, and for a fit of another model.
    """
    target = pipeline.target(model, data=data)
    if not isinstance(target, NumPyroTarget):
        raise OptionError(
            "`reparametrised` was given a model that is not NumPyro's. Its handlers rewrite NumPyro models only. For PyMC and Stan "
            "the report prints the lines to write; in JAX write x = m + s * z inside the log density."
        )
    if fit.gaussian is None or fit.names != target.names:
        raise OptionError(
            "`fit` is not of this model. Its draws tell how much the data inform. Pass `mc.fit` of the same model and data."
        )
    from monochord.targets._numpyro_centring import line, rewritten, shape_parameters

    found = centredness(target, fit, resolved_seed(seed))
    inner = rewritten(target.model, found, shape_parameters(target, tuple(found))) if found else target.model
    return Reparametrised(inner, found, line(found) if found else "model = model")


def centredness(target: NumPyroTarget, fit: FitResult, seed: int) -> dict[str, np.ndarray]:
    """λ by site, each of the site's shape; see `reparametrised`."""
    from monochord.targets._numpyro_centring import site_moments

    names = tuple(one.site for one in target.hierarchies())
    if not names:
        return {}
    assert fit.gaussian is not None
    generator = host_generator(named_key(seed, "centring"))
    noise = generator.standard_normal((NUM_DRAWS, fit.gaussian.dim))
    u = fit.gaussian.mean + np.asarray(fit.gaussian.metric.unwhiten(noise))
    points = evaluate(target, np.asarray(in_coordinates_of(target, fit).to_unconstrained(np.asarray(u, np.float64))))
    usable = points.finite()
    moments = site_moments(target, points.x[usable], names)
    scores = dict(zip((name for name, _ in target.sites), _cut(points.score[usable], target), strict=True))
    return {name: _shares(scores[name], moments[name]) for name in names}


def _cut(rows: np.ndarray, target: NumPyroTarget) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(shape)) for _, shape in target.sites])[:-1]
    parts = np.split(rows, ends, axis=1)
    return [part.reshape(len(rows), *shape) for part, (_, shape) in zip(parts, target.sites, strict=True)]


def _shares(score: np.ndarray, moments) -> np.ndarray:
    """Share of the data in the precision of each entry where its scale is small."""
    value, rest = moments.value, score - moments.score
    away = np.abs(value - np.median(value, axis=0))
    weight = (away <= np.quantile(away, KEPT, axis=0)).astype(float)
    total = weight.sum(0)
    centred = value - (weight * value).sum(0) / total
    variance = (weight * centred**2).sum(0)
    slope = (weight * centred * rest).sum(0) / np.where(variance > 0, variance, 1.0)
    information = np.maximum(-slope, 0.0)
    shares = np.quantile(information / (information + 1.0 / moments.scale**2), LOW, axis=0)
    return np.where(shares < LITTLE, 0.0, shares)
