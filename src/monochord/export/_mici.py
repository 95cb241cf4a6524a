"""Mici: a Euclidean-metric system whose `metric` is the mass matrix, the inverse of ours."""

import dataclasses
from typing import Any, final

import numpy as np

from monochord.errors import MissingPackage
from monochord.export._handover import along_map, handover, text
from monochord.export._whitened import Whitened, unchanged
from monochord.fits import FitResult
from monochord.metrics import AbstractMetric, DenseMetric, DiagonalMetric
from monochord.targets import AbstractTarget

NOTE = (
    "Mici keeps the metric and the step size as long as no adapters are passed; its variance and covariance adapters discard the "
    "metric."
)


@final
@dataclasses.dataclass(frozen=True)
class MiciExport:
    """`system` with `metric` M = Σ⁻¹ (a Mici matrix), `initial` unconstrained points, one row a chain.

    The system's positions are unconstrained points; for a fit with a map they are in its coordinates, and `unconstrained`
    brings them back.
    """

    names: tuple[str, ...]
    system: Any
    metric: Any
    initial: np.ndarray
    density: Whitened
    step_size: float
    note: str = NOTE
    caution: str = ""

    @property
    def initial_states(self) -> list:
        """A ``ChainState`` for each chain; new ones each time, as Mici writes into them."""
        states = _mici().states
        return [states.ChainState(pos=x.copy(), mom=None, dir=1) for x in self.density.whiten(self.initial)]

    def unconstrained(self, positions: np.ndarray) -> np.ndarray:
        """Unconstrained points for positions of the system, shape (..., dim): themselves, where the fit has no map."""
        return self.density.unwhiten(positions)

    def sampler(self, seed: int, **options):
        """Mici's NUTS, ``DynamicMultinomialHMC``, on the system."""
        mici = _mici()
        integrator = mici.integrators.LeapfrogIntegrator(self.system, step_size=self.step_size)
        return mici.samplers.DynamicMultinomialHMC(self.system, integrator, np.random.default_rng(seed), **options)

    def __str__(self) -> str:
        rows = [
            ("coordinates", len(self.names)),
            ("metric", type(self.metric).__name__),
            ("step size", f"{self.step_size:.4g}"),
        ]
        lines = ["export.sampler(seed=0).sample_chains(0, 1000, export.initial_states)"]
        return text("system for Mici", rows, lines, self.note, self.caution)


def to_mici(fit: FitResult, target: AbstractTarget, **options) -> MiciExport:
    """A Mici system of `target` under the fit's metric.

    Mici's `metric` is the mass matrix M = Σ⁻¹; it is handed over by its factor L⁻ᵀ, so that nothing is inverted again. A
    low-rank metric becomes a dense one up to 2,000 coordinates, then the best diagonal. A fit with a map hands over the density along it.
    Works with Mici 0.3 and 0.4. `options`
    as in `to_plain`.

    **Raises** `MissingPackage` without Mici, `OptionError` for another target than the fit's.
    """
    mici = _mici()
    given = handover(fit, ("diagonal", "dense"), takes_density=True, **options)
    density = unchanged(along_map(target, fit))

    def negative(x):
        return -density.value_and_score(x)[0]

    def negative_and_gradient(x):
        value, score = density.value_and_score(x)
        return -score, -value

    matrix = _mass_matrix(mici, given.metric)
    system = mici.systems.EuclideanMetricSystem(negative, metric=matrix, grad_neg_log_dens=negative_and_gradient)
    return MiciExport(given.names, system, matrix, given.initial, density, given.step_size, caution=given.caution)


def _mass_matrix(mici, metric: AbstractMetric):
    if isinstance(metric, DiagonalMetric):
        return mici.matrices.PositiveDiagonalMatrix(1.0 / np.asarray(metric.scale, np.float64) ** 2)
    assert isinstance(metric, DenseMetric)
    root = np.ascontiguousarray(np.asarray(metric.inverse_factor, np.float64).T)  # upper: M = L⁻ᵀ L⁻¹
    return mici.matrices.TriangularFactoredPositiveDefiniteMatrix(root, factor_is_lower=False)


def _mici() -> Any:
    try:
        import mici
        import mici.integrators
        import mici.matrices
        import mici.samplers
        import mici.states
        import mici.systems
    except ImportError:
        raise MissingPackage("mici", "a Mici system", extra="mici") from None
    return mici
