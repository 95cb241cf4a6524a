"""What a run's own draws and scores say about the fit: its residual under the posterior instead of under the fit."""

from typing import NamedTuple

import numpy as np

from monochord.estimate import Estimate
from monochord.gaussian import Gaussian

MAX_ROWS = 4096  # points whitened at a time


class Evidence(NamedTuple):
    """The score residual over posterior draws, and the coordinate whose score the fit explains least.

    Same quantities as a fit's own (`FitResult.score_residual`, `.worst_coordinate`), which are over draws of the fit.
    Standard errors are over chains, so autocorrelation is in them. The floors are what three chains in four exceed: firm
    also where a few huge scores make the mean and its error large together.
    """

    residual: Estimate
    coordinate: int
    share: Estimate
    residual_floor: float
    share_floor: float


class EvidenceSum:
    """Sums over draws of each chain: memory O(chains · dim), whatever the number of draws."""

    def __init__(self, gaussian: Gaussian, num_chains: int):
        self._gaussian = gaussian
        self._precision = np.asarray(gaussian.metric.precision_diagonal())
        self._count = 0
        self._residuals = np.zeros(num_chains)
        self._shares = np.zeros((num_chains, gaussian.dim))

    def add(self, x: np.ndarray, score: np.ndarray) -> None:
        """Take in draws and their scores, shape (chains, draws, dim)."""
        chains, count, dim = x.shape
        self._count += count
        rows = max(1, MAX_ROWS // max(1, chains))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, count, rows):
                part = slice(start, start + rows)
                gap = np.asarray(score[:, part], np.float64) - np.asarray(
                    self._gaussian.score(np.asarray(x[:, part], np.float64))
                )
                whitened = np.asarray(self._gaussian.metric.whiten_covector(gap))
                self._residuals += np.sum(whitened**2, axis=(1, 2)) / dim
                self._shares += np.sum(gap**2, axis=1) / self._precision

    def evidence(self) -> Evidence | None:
        """None before the first draw."""
        if not self._count:
            return None
        shares, residuals = self._shares / self._count, self._residuals / self._count
        worst = int(np.argmax(np.nan_to_num(shares.mean(0), nan=np.inf)))
        total = self._count * len(shares)
        return Evidence(
            _over_chains(residuals, total), worst, _over_chains(shares[:, worst], total), _floor(residuals),
            _floor(shares[:, worst]),
        )  # fmt: skip


def _over_chains(values: np.ndarray, total: int) -> Estimate:
    """Mean over chains with its error; of a single chain, which cannot tell, the error is the value itself."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float(abs(values[0]))
    return Estimate(float(np.mean(values)), error, total)


def _floor(values: np.ndarray) -> float:
    """The lower quartile over chains; of fewer than four chains nothing is firm."""
    return float(np.quantile(values, 0.25)) if len(values) >= 4 else 0.0
