"""The long-run moments that early draws are measured against."""

import dataclasses

import numpy as np
from jaxtyping import Float

from monochord import mixing
from monochord.convergence import ESS_LIMIT, r_hat_limit
from monochord.errors import OptionError
from monochord.targets import AbstractTarget

FEWEST_DRAWS = 100


@dataclasses.dataclass(frozen=True)
class Reference:
    """Moments of the unconstrained coordinates, the draws behind them, and whether they can be trusted.

    `square_sd` is the standard deviation of (x − mean)². `gradients` are what the long run took; no row is charged with
    them.
    """

    mean: Float[np.ndarray, " dim"]
    sd: Float[np.ndarray, " dim"]
    square_sd: Float[np.ndarray, " dim"]
    draws: Float[np.ndarray, "n dim"]
    ess: float
    r_hat: float
    is_reliable: bool
    source: str
    gradients: int

    def spread_out(self, count: int) -> Float[np.ndarray, "count dim"]:
        """At most `count` of the draws, evenly chosen."""
        places = np.unique(np.linspace(0, len(self.draws) - 1, count).astype(int))
        return self.draws[places]

    def sentence(self) -> str:
        """Where the moments come from, and what they cannot bear."""
        text = f"Long-run moments: {self.source}, smallest ESS {self.ess:,.0f}"
        text += f", largest R̂ {self.r_hat:.3f}" if np.isfinite(self.r_hat) else ""
        text += f"; {self.gradients:,} gradients, charged to no metric."
        if not self.is_reliable:
            text += " It has not converged: the errors below are against moments that are wrong themselves."
        return text


def reference_from_tree(tree, target: AbstractTarget, gradients: int, source: str) -> Reference:
    """From a result of `monochord.sample`, whose convergence is judged here.

    **Raises** `OptionError` for one without its unconstrained draws, or of another target.
    """
    if "unconstrained_posterior" not in tree.children:
        raise OptionError(
            "`reference` holds no group `unconstrained_posterior`. Moments are compared on unconstrained space. Pass a result "
            "of `monochord.sample`, or draws of shape (n, dim)."
        )
    group = tree["unconstrained_posterior"]
    names = tuple(str(name) for name in group["coordinate"].values)
    if names != target.names:
        raise OptionError(
            f"`reference` has the coordinates {', '.join(names[:3])}…, the model has {', '.join(target.names[:3])}…. Its moments "
            "stand for the posterior's. Pass a run of this model."
        )
    x = np.asarray(group["x"].values, np.float64)
    ess, r_hat = mixing.convergence(x)
    least, largest = (float(f(v)) for f, v in ((np.nanmin, ess), (np.nanmax, r_hat)))
    reliable = least >= ESS_LIMIT * min(len(x), 4) and largest <= r_hat_limit(least, len(x))
    return _reference(x.reshape(-1, x.shape[-1]), least, largest, bool(reliable), source, gradients)


def reference_from_draws(draws, target: AbstractTarget) -> Reference:
    """From draws of shape (n, dim) that the caller vouches for, taken to be independent.

    **Raises** `OptionError` for another shape, or fewer than `FEWEST_DRAWS`.
    """
    x = np.asarray(draws, np.float64)
    if x.ndim != 2 or x.shape[1] != target.dim or len(x) < FEWEST_DRAWS or not np.all(np.isfinite(x)):
        raise OptionError(
            f"`reference` has shape {x.shape}, or holds numbers that are not finite. Its moments stand for the posterior's. "
            f"Pass at least {FEWEST_DRAWS} unconstrained draws of shape (n, {target.dim}), or a result of `monochord.sample`."
        )
    return _reference(x, float(len(x)), np.nan, True, f"{len(x):,} draws that were handed over", 0)


def _reference(x, ess, r_hat, reliable: bool, source: str, gradients: int) -> Reference:
    mean = x.mean(0)
    squares = (x - mean) ** 2
    return Reference(
        mean, np.sqrt(squares.mean(0)), squares.std(0), x, float(ess), float(r_hat), reliable, source, gradients
    )
