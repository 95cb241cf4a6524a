"""What a run's own draws and scores say about the fit: its residual under the posterior instead of under the fit."""

import math
from typing import NamedTuple

import numpy as np

from monochord.estimate import Estimate
from monochord.gaussian import Gaussian
from monochord.metrics import identity_metric
from monochord.spectra import cost_functional
from monochord.targets import Evaluations

MAX_ROWS = 4096  # points whitened at a time
MAX_SAMPLE = 128  # iterations of which points are kept
SAMPLE_NUMBERS = 2_000_000  # doubles of them
FEWEST_POINTS = 32


class Evidence(NamedTuple):
    """The score residual over posterior draws, and the coordinate whose score the fit explains least.

    Same quantities as a fit's own (`FitResult.score_residual`, `.worst_coordinate`), which are over draws of the fit.
    Standard errors are over chains, so autocorrelation is in them. The floors are what three chains in four exceed: firm
    also where a few huge scores make the mean and its error large together. `gain` is C(I)/C(Σ) over the draws: what the
    metric is predicted to save against none, 1 and less where it does harm (NaN where too few draws tell).
    """

    residual: Estimate
    coordinate: int
    share: Estimate
    residual_floor: float
    share_floor: float
    gain: float = math.nan


class EvidenceSum:
    """Sums over draws of each chain, and a thinned sample of them: memory O(chains · dim), whatever the number of draws."""

    def __init__(self, gaussian: Gaussian, num_chains: int):
        self._gaussian = gaussian
        self._precision = np.asarray(gaussian.metric.precision_diagonal())
        self._count = 0
        self._residuals = np.zeros(num_chains)
        self._shares = np.zeros((num_chains, gaussian.dim))
        self._sample: list[tuple[np.ndarray, np.ndarray]] = []  # of one iteration each: points and scores of all chains
        self._stride = 1
        self._most = int(np.clip(SAMPLE_NUMBERS // (num_chains * gaussian.dim), 2, MAX_SAMPLE))

    def state(self) -> tuple:
        """Everything summed so far, for `resume`."""
        return self._count, self._residuals, self._shares, self._sample, self._stride

    def resume(self, state: tuple) -> "EvidenceSum":
        """Go on from the `state` of another sum over the same Gaussian and chains."""
        self._count, self._residuals, self._shares, sample, self._stride = state
        self._residuals, self._shares = self._residuals.copy(), self._shares.copy()
        self._sample = [tuple(pair) for pair in sample]
        return self

    def add(self, x: np.ndarray, score: np.ndarray) -> None:
        """Take in draws and their scores, shape (chains, draws, dim)."""
        chains, count, dim = x.shape
        self._keep(x, score)
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

    def _keep(self, x: np.ndarray, score: np.ndarray) -> None:
        """Every so many iterations, twice as many apart each time there are too many."""
        first = -self._count % self._stride
        self._sample += [(x[:, i].copy(), score[:, i].copy()) for i in range(first, x.shape[1], self._stride)]
        while len(self._sample) > self._most:
            self._sample, self._stride = self._sample[::2], 2 * self._stride

    def _gain(self) -> float:
        x, score = (np.concatenate(part).astype(np.float64) for part in zip(*self._sample, strict=True))
        points = Evaluations(x, np.zeros(len(x)), score)
        if len(x) < FEWEST_POINTS:
            return math.nan
        plain, fitted = (
            cost_functional(metric, points, folds=2).value
            for metric in (identity_metric(x.shape[1]), self._gaussian.metric)
        )
        return plain / fitted if fitted > 0 else math.nan

    def evidence(self) -> Evidence | None:
        """None before the first draw."""
        if not self._count:
            return None
        shares, residuals = self._shares / self._count, self._residuals / self._count
        worst = int(np.argmax(np.nan_to_num(shares.mean(0), nan=np.inf)))
        total = self._count * len(shares)
        return Evidence(
            _over_chains(residuals, total), worst, _over_chains(shares[:, worst], total), _floor(residuals),
            _floor(shares[:, worst]), self._gain(),
        )  # fmt: skip


def evidence_of(gaussian: Gaussian, draws) -> Evidence | None:
    """The evidence of a few segments of draws, whose scores they carry."""
    total = EvidenceSum(gaussian, draws[0].x.shape[0])
    for segment in draws:
        total.add(segment.x, segment.score)
    return total.evidence()


def _over_chains(values: np.ndarray, total: int) -> Estimate:
    """Mean over chains with its error; of a single chain, which cannot tell, the error is the value itself."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float(abs(values[0]))
    return Estimate(float(np.mean(values)), error, total)


def _floor(values: np.ndarray) -> float:
    """The lower quartile over chains; of fewer than four chains nothing is firm."""
    return float(np.quantile(values, 0.25)) if len(values) >= 4 else 0.0
