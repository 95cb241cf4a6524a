"""BlackJAX: the inverse mass matrix in all three of its forms, and ready initial states."""

import dataclasses
from typing import Any, final

import jax.numpy as jnp
import numpy as np

from monochord.export._handover import covariance, handover, text
from monochord.fits import FitResult
from monochord.metrics import LowRankMetric
from monochord.targets import AbstractTarget, evaluate

NOTE = (
    "BlackJAX's kernels keep what they are given, so call `blackjax.nuts` itself; `window_adaptation` takes a metric as "
    "`initial_inverse_mass_matrix` and discards it at its first window, or blends it in with `imm_shrinkage_to_previous`. On a CPU, a model "
    "that factors matrices can wait for ever under `jax.vmap` (jaxlib 0.10): map its chains by `jax.lax.map`."
)


@final
@dataclasses.dataclass(frozen=True)
class BlackJAXExport:
    """`inverse_mass_matrix` is Σ, its diagonal, or a `LowRankInverseMassMatrix`, in the fit's own order.

    `initial_states` are `HMCState`s with a leading axis of chains; None where neither the fit's draws nor a target say what
    the log densities at `initial` are. `gradients` is what they cost.
    """

    names: tuple[str, ...]
    inverse_mass_matrix: Any
    initial: np.ndarray
    initial_states: Any
    gradients: int
    step_size: float
    note: str = NOTE
    caution: str = ""

    def algorithm(self, log_density, **options):
        """``blackjax.nuts`` on a log density of flat unconstrained points, such as ``target.log_density``."""
        import blackjax

        return blackjax.nuts(
            log_density, step_size=self.step_size, inverse_mass_matrix=self.inverse_mass_matrix, **options
        )

    def __str__(self) -> str:
        dims = getattr(self.inverse_mass_matrix, "ndim", 0)
        form = {0: "low rank", 1: "diagonal", 2: "dense"}[dims]
        rows = [("coordinates", len(self.names)), ("form", form), ("step size", f"{self.step_size:.4g}")]
        lines = [
            "kernel = export.algorithm(target.log_density)",
            "states = export.initial_states  # one a chain; then states, info = jax.vmap(kernel.step)(keys, states)",
        ]
        return text("metric for BlackJAX", rows, lines, self.note, self.caution)


def to_blackjax(fit: FitResult, target: AbstractTarget | None = None, **options) -> BlackJAXExport:
    """The fit's metric for BlackJAX's kernels, whose ``inverse_mass_matrix`` is Σ on the raveled position.

    Positions are flat, in the fit's order; for a log density of a pytree that is the order of `ravel_pytree` on it. States are
    made from the fit's own draws, at no cost, or else evaluated on `target`. `options` as in `to_plain`.
    """
    from blackjax.mcmc.hmc import HMCState
    from blackjax.mcmc.metrics import LowRankInverseMassMatrix

    given = handover(fit, ("diagonal", "dense", "low_rank"), **options)
    metric, known, gradients = given.metric, given.known, 0
    if isinstance(metric, LowRankMetric):
        matrix: Any = LowRankInverseMassMatrix(*map(jnp.asarray, (metric.scale, metric.basis, metric.eigenvalues)))
    else:
        matrix = jnp.asarray(covariance(metric))
    if known is None and target is not None:
        known, gradients = evaluate(target, given.initial), len(given.initial)
    states: Any = None if known is None else HMCState(*map(jnp.asarray, known))  # pyright: ignore[reportArgumentType]
    return BlackJAXExport(given.names, matrix, given.initial, states, gradients, given.step_size, caution=given.caution)
