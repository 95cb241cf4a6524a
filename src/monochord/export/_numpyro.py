"""NumPyro: the inverse mass matrix in its sorted order of sites, and the options under which `NUTS` keeps it."""

import dataclasses
from typing import Any, final

import numpy as np

from monochord.errors import MissingPackage
from monochord.export._handover import covariance, handover, order_of, site_values, sites_of, text
from monochord.fits import FitResult

NOTE = (
    "NumPyro keeps the metric with `adapt_mass_matrix=False`; with its default it begins with it and discards it at the end of "
    "the first window."
)


@final
@dataclasses.dataclass(frozen=True)
class NumPyroExport:
    """`inverse_mass_matrix` (Σ, or its diagonal) of all `sites` together, flattened in NumPyro's order: sorted by name.

    `init_params` are unconstrained values by site, with a leading axis of chains (taken off for one chain).
    """

    names: tuple[str, ...]
    sites: tuple[str, ...]
    inverse_mass_matrix: np.ndarray
    init_params: dict[str, np.ndarray]
    step_size: float
    note: str = NOTE
    caution: str = ""

    @property
    def inverse_mass_matrix_by_site(self) -> dict[tuple[str, ...], np.ndarray]:
        """The dict form, with one block of all sites; a new dict each time, as NumPyro writes into it."""
        return {self.sites: self.inverse_mass_matrix}

    @property
    def kernel_options(self) -> dict[str, Any]:
        """Arguments of ``NUTS(model, **…)`` that use the metric and the step size and adapt neither."""
        return {
            "step_size": self.step_size, "inverse_mass_matrix": self.inverse_mass_matrix_by_site,
            "dense_mass": [self.sites] if self.inverse_mass_matrix.ndim == 2 else [], "adapt_step_size": False,
            "adapt_mass_matrix": False,
        }  # fmt: skip

    def kernel(self, model, **options):
        """``numpyro.infer.NUTS`` for `model`. **Raises** `MissingPackage` without NumPyro."""
        try:
            from numpyro.infer import NUTS
        except ImportError:
            raise MissingPackage("numpyro", "a NumPyro kernel", extra="numpyro") from None
        return NUTS(model, **self.kernel_options, **options)

    def __str__(self) -> str:
        form = "dense" if self.inverse_mass_matrix.ndim == 2 else "diagonal"
        rows = [("sites", ", ".join(self.sites)), ("coordinates", len(self.names)), ("form", form)]
        rows.append(("step size", f"{self.step_size:.4g}"))
        chains = len(next(iter(self.init_params.values()))) if self.init_params[self.sites[0]].ndim else 1
        lines = [
            f"mcmc = MCMC(export.kernel(model), num_warmup=0, num_samples=1000, num_chains={chains})",
            "mcmc.run(key, init_params=export.init_params, **data)",
        ]
        return text("metric for NumPyro", rows, lines, self.note, self.caution)


def to_numpyro(fit: FitResult, **options) -> NumPyroExport:
    """The fit's metric for NumPyro, whose ``inverse_mass_matrix`` is Σ on unconstrained sites sorted by name.

    For a fit of a NumPyro model, or of any target with the same names and transforms. Works with NumPyro 0.20 and newer.
    `options` as in `to_plain`.
    """
    given = handover(fit, ("diagonal", "dense"), **options)
    sites = tuple(sorted(sites_of(given.names)))
    order = order_of(given.names, sites)
    values = site_values(given.initial, given.names)
    single = len(given.initial) == 1
    return NumPyroExport(
        tuple(given.names[place] for place in order), sites, covariance(given.metric, order),
        {name: np.asarray(values[name][0]) if single else values[name] for name in sites}, given.step_size, caution=given.caution,
    )  # fmt: skip
