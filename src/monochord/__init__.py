"""Hamiltonian Monte Carlo made fast by a variational metric.

    target = mc.target(model, data=data)
    fit = mc.fit(target, seed=0)
    print(mc.spectrum(target, fit))
    data = mc.sample(target, fit=fit, seed=0)

Names load on first use, so that ``import monochord`` and ``monochord --help`` cost nothing.
"""

from importlib import import_module as _import_module
from time import perf_counter as _perf_counter
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "monochord.pipeline": ("check", "doctor", "fit", "fit_many", "spectrum", "target"),
    "monochord.runs": ("extend", "resume", "sample"),
    "monochord.reuse": ("refit",),
    "monochord.store": ("open_store",),
    "monochord.groups": ("add_groups",),
    "monochord.centring": ("reparametrised",),
    "monochord.reports": ("report",),
    "monochord._arviz": ("write_netcdf",),
    "monochord.comparison": ("Comparison", "compare"),
    "monochord.errors": ("DataError", "MissingPackage", "ModelError", "MonochordError", "OptionError", "OutputError"),
    "monochord.estimate": ("Estimate",),
    "monochord.fits": (
        "Advi", "BatchMatch", "DeterministicAdvi", "FitResult", "FitStatus", "Given", "Laplace", "NaturalGradient", "Pathfinder",
        "Staged", "load",
    ),
    "monochord.gaussian": ("Gaussian",),
    "monochord.metrics": (
        "Dense", "DenseMetric", "Diagonal", "DiagonalMetric", "LowRank", "LowRankMetric", "identity_metric",
    ),
    "monochord.summaries": ("R_HAT_LIMIT", "doubts", "is_trustworthy", "summary"),
}  # fmt: skip
_MODULES = ("export", "plot")  # themselves public
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_HOME_OF |= {name: f"monochord.{name}" for name in _MODULES}
__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from monochord import export as export
    from monochord import plot as plot
    from monochord._arviz import write_netcdf as write_netcdf
    from monochord.centring import reparametrised as reparametrised
    from monochord.comparison import Comparison as Comparison
    from monochord.comparison import compare as compare
    from monochord.errors import DataError as DataError
    from monochord.errors import MissingPackage as MissingPackage
    from monochord.errors import ModelError as ModelError
    from monochord.errors import MonochordError as MonochordError
    from monochord.errors import OptionError as OptionError
    from monochord.errors import OutputError as OutputError
    from monochord.estimate import Estimate as Estimate
    from monochord.fits import Advi as Advi
    from monochord.fits import BatchMatch as BatchMatch
    from monochord.fits import DeterministicAdvi as DeterministicAdvi
    from monochord.fits import FitResult as FitResult
    from monochord.fits import FitStatus as FitStatus
    from monochord.fits import Given as Given
    from monochord.fits import Laplace as Laplace
    from monochord.fits import NaturalGradient as NaturalGradient
    from monochord.fits import Pathfinder as Pathfinder
    from monochord.fits import Staged as Staged
    from monochord.fits import load as load
    from monochord.gaussian import Gaussian as Gaussian
    from monochord.groups import add_groups as add_groups
    from monochord.metrics import Dense as Dense
    from monochord.metrics import DenseMetric as DenseMetric
    from monochord.metrics import Diagonal as Diagonal
    from monochord.metrics import DiagonalMetric as DiagonalMetric
    from monochord.metrics import LowRank as LowRank
    from monochord.metrics import LowRankMetric as LowRankMetric
    from monochord.metrics import identity_metric as identity_metric
    from monochord.pipeline import check as check
    from monochord.pipeline import doctor as doctor
    from monochord.pipeline import fit as fit
    from monochord.pipeline import fit_many as fit_many
    from monochord.pipeline import spectrum as spectrum
    from monochord.pipeline import target as target
    from monochord.reports import report as report
    from monochord.reuse import refit as refit
    from monochord.runs import extend as extend
    from monochord.runs import resume as resume
    from monochord.runs import sample as sample
    from monochord.store import open_store as open_store
    from monochord.summaries import R_HAT_LIMIT as R_HAT_LIMIT
    from monochord.summaries import doubts as doubts
    from monochord.summaries import is_trustworthy as is_trustworthy
    from monochord.summaries import summary as summary


def __getattr__(name: str):
    if name in _MODULES:
        return _import_module(f"monochord.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'monochord' has no attribute {name!r}")
    started = _perf_counter()
    home = _import_module(_HOME_OF[name])
    value = home if name in _MODULES else getattr(home, name)
    if name not in globals():
        from monochord.timing import import_finished

        import_finished(started)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]
