"""Problems with a size to choose, for questions of growth: `spikes@1e+03`, `condition@1e+06`, `rows@1e+05`."""

from collections.abc import Callable

import numpy as np

from . import _simulated_gaussians as gaussians
from ._problem import Problem
from ._simulated_regressions import logistic_problem


def spikes(dim: int) -> Problem:
    """Unit variances but for ten directions with sd 100 and ten with sd 0.01 (a fifth of the dimensions each below 50)."""
    return gaussians.spikes_problem(f"spikes@{dim:.0e}", dim, min(10, dim // 5), seed=4)


def condition(kappa: float) -> Problem:
    """A rotated Gaussian of 50 dimensions with precisions from 1 to `kappa`."""
    return gaussians.rotated_problem(f"condition@{kappa:.0e}", 50, 3, float(np.log10(kappa)), 0.0)


def rows(count: int) -> Problem:
    """Logistic regression on `count` observations of 10 correlated columns; the first is 1."""
    generator = np.random.default_rng(17)
    mixing, beta = generator.standard_normal((10, 10)) / np.sqrt(10), 0.3 * generator.standard_normal(10)
    design = generator.standard_normal((count, 10)) @ mixing
    return logistic_problem(f"rows@{count:.0e}", generator, design, beta)


FAMILIES: dict[str, Callable[[float], Problem]] = {
    "spikes": lambda size: spikes(int(size)),
    "condition": condition,
    "rows": lambda size: rows(int(size)),
}


def is_growing(name: str) -> bool:
    """Whether `name` is a family and a size."""
    return name.partition("@")[0] in FAMILIES and "@" in name


def build(name: str) -> Problem:
    """The problem of a family at the size behind its `@`."""
    family, _, size = name.partition("@")
    return FAMILIES[family](float(size))
