"""A first Gaussian at the end of a descent, from the curvature that L-BFGS has gathered on its way."""

import numpy as np

from monochord.fits import _lbfgs
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily, Dense, DenseMetric, DiagonalMetric


def laplace_like(family: AbstractFamily, search: _lbfgs.Search) -> Gaussian:
    """Gaussian at a search's end from its inverse Hessian, dense where the family is."""
    if not search.pairs:
        return Gaussian(search.x, DiagonalMetric(np.full(len(search.x), 1e-2)))
    base, wide, core = _lbfgs.inverse_hessian_parts(search.pairs)
    if isinstance(family, Dense):
        covariance = base * np.eye(len(search.x)) + wide @ core @ wide.T
        try:
            return Gaussian(search.x, DenseMetric.from_covariance((covariance + covariance.T) / 2))
        except ValueError:
            pass
    variance = base + np.sum((wide @ core) * wide, axis=1)
    return Gaussian(search.x, DiagonalMetric(np.sqrt(np.where(variance > 0, variance, base))))
