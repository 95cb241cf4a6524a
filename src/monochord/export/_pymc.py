"""PyMC: a `NUTS` step with the metric as its potential, in the order of the model's value variables."""

import dataclasses
from typing import Any, final

import numpy as np

from monochord.errors import MissingPackage, OptionError
from monochord.export._handover import covariance, handover, text
from monochord.fits import FitResult
from monochord.targets import scalar_names

NOTE = (
    "PyMC keeps a metric that comes with its step (its static potentials do not adapt), and the step size with "
    "`adapt_step_size=False`; a step that `pm.sample` makes itself starts from one of its own."
)


@final
@dataclasses.dataclass(frozen=True)
class PyMCExport:
    """`inverse_mass_matrix` (Σ, or its diagonal) over `names`, the entries of the model's value variables in their order.

    `initvals` are unconstrained values by value variable (such as ``sigma_log__``), one mapping a chain.
    """

    model: Any
    names: tuple[str, ...]
    inverse_mass_matrix: np.ndarray
    initvals: tuple[dict[str, np.ndarray], ...]
    step_size: float
    note: str = NOTE
    caution: str = ""

    @property
    def step_options(self) -> dict[str, Any]:
        """Arguments of ``pymc.NUTS``; PyMC divides `step_scale` by dim^¼ to get the step size."""
        return {
            "scaling": self.inverse_mass_matrix, "is_cov": True, "step_scale": self.step_size * len(self.names) ** 0.25,
            "adapt_step_size": False,
        }  # fmt: skip

    @property
    def sample_options(self) -> dict[str, Any]:
        """Arguments of ``pymc.sample`` beside the step: the starts, and no tuning."""
        return {"initvals": list(self.initvals), "chains": len(self.initvals), "tune": 0}

    def step(self, **options):
        """``pymc.NUTS`` for the model."""
        return _pymc().NUTS(model=self.model, **self.step_options, **options)

    def __str__(self) -> str:
        form = "dense" if self.inverse_mass_matrix.ndim == 2 else "diagonal"
        rows = [("coordinates", len(self.names)), ("form", form), ("step size", f"{self.step_size:.4g}")]
        lines = ["with model:", "    pm.sample(draws=1000, step=export.step(), **export.sample_options)"]
        return text("metric for PyMC", rows, lines, self.note, self.caution)


def to_pymc(fit: FitResult, model, **options) -> PyMCExport:
    """The fit's metric for PyMC, whose `scaling` with ``is_cov=True`` is Σ on the continuous value variables of `model`.

    The fit's parameters are found by name: that of the value variable (``sigma_log__``) or of the random variable
    (``sigma``), whose transform must then be the fit's (PyMC's for positive ones is the log). PyMC takes no low-rank metric:
    it gets a dense one up to 2,000 coordinates, then the best diagonal. Works with PyMC 5.25 and newer 5.x. `options` as in
    `to_plain`.

    **Raises** `MissingPackage` without PyMC, `OptionError` where the parameters of `model` are not the fit's.
    """
    _pymc()
    given = handover(fit, ("diagonal", "dense"), **options)
    point = model.initial_point()
    order, names, cuts = [], [], []
    for variable in model.continuous_value_vars:
        shape = tuple(np.shape(point[variable.name]))
        places = _places(given.names, variable.name, model.values_to_rvs[variable].name, shape)
        names += scalar_names(variable.name, shape)
        cuts.append((variable.name, shape, places))
        order += places
    if len(order) != len(given.names):
        left = [name for place, name in enumerate(given.names) if place not in set(order)]
        raise OptionError(
            f"the fit's coordinates {', '.join(left[:4])} are in no value variable of the model. A metric only makes sense on its "
            "own coordinates. Export to the model that the fit describes."
        )
    initvals = tuple({name: row[places].reshape(shape) for name, shape, places in cuts} for row in given.initial)
    matrix = covariance(given.metric, order)
    return PyMCExport(model, tuple(names), matrix, initvals, given.step_size, caution=given.caution)


def _places(names: tuple[str, ...], value: str, variable: str, shape: tuple[int, ...]) -> list[int]:
    """Where a value variable's entries are among the fit's coordinates, under either of its names."""
    where = {name: place for place, name in enumerate(names)}
    for base in (value, variable):
        entries = scalar_names(base, shape)
        if all(entry in where for entry in entries):
            return [where[entry] for entry in entries]
    raise OptionError(
        f"the model's value variable `{value}` of shape {shape} is not among the fit's coordinates ({', '.join(names[:4])} …). "
        "A metric only makes sense on its own coordinates. Export to the model that the fit describes."
    )


def _pymc():
    try:
        import pymc
    except ImportError:
        raise MissingPackage("pymc", "a PyMC step", extra="pymc") from None
    return pymc
