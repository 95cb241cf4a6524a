"""What models of both forms are made of, and where they are kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpyro
import numpyro.distributions as dist


class Naive(NamedTuple):
    """A model, whose argument `centred` chooses the form, with its data and what is compared."""

    model: Callable[..., Any]
    data: dict[str, np.ndarray]
    positive: tuple[str, ...]  # by their logarithms
    real: tuple[str, ...]


MODELS: dict[str, Callable[[], Naive]] = {}


def entry(make: Callable[[], Naive]) -> Callable[[], Naive]:
    """`make`, kept in `MODELS` by its name."""
    MODELS[make.__name__] = make
    return make


def effects(centred: bool, name: str, loc, scale, count: int):
    """`count` effects N(loc, scale²), sampled as they are or standardised."""
    if centred:
        return numpyro.sample(name, dist.Normal(loc, scale).expand([count]).to_event(1))
    z = numpyro.sample(f"{name}_z", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
    return numpyro.deterministic(name, loc + scale * z)


def half_cauchy(name: str, scale: float = 1.0):
    return numpyro.sample(name, dist.HalfCauchy(scale))


def normal(name: str, scale: float):
    return numpyro.sample(name, dist.Normal(0.0, scale))


def inverse_logit(x):
    return 1.0 / (1.0 + np.exp(-x))
