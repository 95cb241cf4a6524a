"""Weights of modes with their errors, and which draw of the mixture comes from which mode."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from monochord.mixing import ess_of_means
from monochord.modes._regions import Regions


@dataclasses.dataclass(frozen=True)
class Weights:
    """W_k = Z_k / Σ Z and their covariance."""

    values: np.ndarray
    covariance: np.ndarray

    @property
    def standard_errors(self) -> np.ndarray:
        """Of each weight."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


def weights(log_integrals: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray) -> Weights:
    """Weights from log Z_k and their standard errors, which are independent: each comes from chains of its own.

    The covariance is first order (delta method): dW = J d log Z with J = diag(W) − WWᵀ.
    """
    logs = np.asarray(log_integrals, np.float64)
    masses = np.exp(logs - logs.max())
    values = masses / masses.sum()
    jacobian = np.diag(values) - np.outer(values, values)
    return Weights(values, (jacobian * np.asarray(errors, np.float64) ** 2) @ jacobian.T)


def labels(rng: np.random.Generator, values: np.ndarray, num_draws: int) -> Int[np.ndarray, " draws"]:
    """The mode of each of `num_draws` draws of a chain: W_k · `num_draws` of mode k, in random order.

    What is left of a number that is no integer is settled by chance, so that expected counts are exact.
    """
    ends = np.floor(np.cumsum(values / values.sum()) * num_draws + rng.uniform()).astype(int)  # systematic sampling
    ends[-1] = num_draws  # beyond the rounding of the sum
    counts = np.diff(ends, prepend=0)
    return rng.permutation(np.repeat(np.arange(len(values)), counts))


def places_of(mode: Int[np.ndarray, " draws"], counts: Sequence[int]) -> Int[np.ndarray, " draws"]:
    """Which draw of its mode each draw of the mixture is: in order, evenly spread over the `counts` there are."""
    places = np.zeros(len(mode), int)
    for k, count in enumerate(counts):
        here = np.flatnonzero(mode == k)
        if len(here):
            places[here] = ((np.arange(len(here)) + 0.5) * count / len(here)).astype(int)
    return places


def num_mixed(values: Float[np.ndarray, " modes"], counts: Sequence[int]) -> int:
    """Draws of a chain of the mixture for which every mode has enough."""
    return max(1, int(min(count / value for count, value in zip(counts, values, strict=True) if value > 0)))


def missed(regions: Regions, found: Weights, draws: Sequence[np.ndarray]) -> tuple[float, float]:
    """The largest share of the posterior that one mode's chains ought to see and another's do, with its standard error.

    ∫p min(r_j, r_k) is W_j E_j[min(1, r_k/r_j)] by the chains of mode j and W_k E_k[min(1, r_j/r_k)] by those of mode k. `draws` are shaped (chains,
    draws, dim), in the regions' coordinates. Where chains see all of their regions the two agree, however much the regions overlap.
    """
    worst, its_error, margin = 0.0, 0.0, -np.inf
    seen = [regions.log_shares(np.asarray(x, np.float64)) for x in draws]
    for j in range(len(draws)):
        for k in range(j):
            there, here = (np.exp(np.minimum(0.0, seen[a][..., b] - seen[a][..., a])) for a, b in ((j, k), (k, j)))
            difference = abs(found.values[j] * there.mean() - found.values[k] * here.mean())
            error = np.hypot(found.values[j] * _mcse(there), found.values[k] * _mcse(here))
            if difference - 3.0 * error > margin:
                worst, its_error, margin = float(difference), float(error), difference - 3.0 * error
    return worst, its_error


def _mcse(values: np.ndarray) -> float:
    ess = float(ess_of_means(values[:, :, None])[0]) if np.ptp(values) > 0 else float(values.size)
    return float(values.std() / np.sqrt(max(ess, 1.0)))
