"""What every receiver is handed: a metric in a form that it takes, starting points, a step size, and what to beware of."""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from monochord.arguments import check_belongs, gaussian_of
from monochord.arrays import host_generator, named_key
from monochord.errors import OptionError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of
from monochord.maps import ScaledMap
from monochord.metrics import AbstractMetric, DenseMetric, DiagonalMetric, LowRankMetric
from monochord.plan import wanted_acceptance
from monochord.sampling import closed_form_tuning, resampled
from monochord.settings import check_choice, check_count, check_fraction, check_positive
from monochord.spectra import best_diagonal
from monochord.targets import AbstractTarget, Evaluations, scalar_names

MAX_DENSE = 2_000  # coordinates: a dense matrix then takes 32 MB, and each leapfrog 4 million multiplications
CONSTANT_ACCEPT = 0.98  # along a map of products, for samplers whose steps do not follow the position: at .95 2 % of transitions diverged
FORMS = ("auto", "diagonal", "dense", "low_rank")


@dataclasses.dataclass(frozen=True)
class Handover:
    """A fit as a receiver needs it, in the fit's own order of coordinates.

    `initial` are unconstrained starts, shape (chains, dim), also for a fit with a map; `known` the same points with the
    target's log densities and scores, where a fit without a map has them. `step_size` is that of a leapfrog under the inverse mass matrix Σ (time in whitened
    units). `caution` is a sentence where the fit or the form asks for one, else empty.
    """

    names: tuple[str, ...]
    gaussian: Gaussian
    initial: Float[np.ndarray, "chains dim"]
    known: Evaluations | None
    step_size: float
    caution: str

    @property
    def metric(self) -> AbstractMetric:
        """The metric in the form that is handed over."""
        return self.gaussian.metric

    @property
    def form(self) -> str:
        """One of "diagonal", "dense" and "low_rank"."""
        return form_of(self.metric)


def handover(
    fit: FitResult,
    accepted: Sequence[str],
    *,
    form: str = "auto",
    chains: int = 4,
    seed: int = 0,
    target_accept: float | None = None,
    step_size: float | int | None = None,
    initial=None,
    takes_density: bool = False,
) -> Handover:
    """A fit made ready for a receiver that takes metrics of the `accepted` forms.

    One that `takes_density` is handed the density along the fit's map, where it has one; every other samples in the target's
    own coordinates, in which the metric of such a fit means nothing.

    **Raises** `OptionError` for options out of range and for a map that the receiver cannot follow, `ModelError` for a fit that
    ran away.
    """
    if fit.map is not None and not takes_density:
        raise _no_map(fit)
    check_choice("form", form, ("auto", *(name for name in FORMS[1:] if name in accepted)))
    check_count("chains", chains, 1, 10_000)
    gaussian = gaussian_of(fit)
    metric, note = _in_form(gaussian.metric, form, accepted)
    if target_accept is not None:
        check_fraction("target_accept", target_accept)
    accept = target_accept
    if accept is None:
        accept = (
            max(wanted_acceptance(fit), CONSTANT_ACCEPT) if isinstance(fit.map, ScaledMap) else wanted_acceptance(fit)
        )
    if step_size is None:
        residual = fit.score_residual.value if fit.score_residual is not None else 1.0
        step_size = closed_form_tuning(metric, gaussian, "nuts", accept, residual).step_size
    check_positive("step_size", step_size)
    known = _known_starts(fit, gaussian, chains, seed) if initial is None else None
    if initial is None:
        rng = host_generator(named_key(seed, "export"))
        initial = unconstrained(fit, known.x if known is not None else gaussian.sample(rng, chains))
    if fit.map is not None:
        known = None
    mean = np.asarray(gaussian.mean, np.float64)
    return Handover(
        fit.names, Gaussian(mean, metric), _starts(initial, chains, gaussian.dim), known,
        float(step_size), " ".join(part for part in (_caution(fit), note) if part),
    )  # fmt: skip


def unconstrained(fit: FitResult, points: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
    """Points in the coordinates of a fit as unconstrained points."""
    return points if fit.map is None else np.asarray(fit.map.place(points))


def along_map(target: AbstractTarget, fit: FitResult) -> AbstractTarget:
    """The target in the coordinates of the fit. **Raises** `OptionError` where the fit is of another target."""
    check_belongs(fit, target)
    return in_coordinates_of(target.unmapped, fit)


def form_of(metric: AbstractMetric) -> str:
    """The name of a metric's form."""
    if isinstance(metric, DiagonalMetric):
        return "diagonal"
    return "low_rank" if isinstance(metric, LowRankMetric) else "dense"


def covariance(metric: AbstractMetric, order: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Σ, the inverse mass matrix: its diagonal, shape (dim,), of a diagonal metric, else the matrix; rows in `order`."""
    chosen = np.arange(metric.dim) if order is None else np.asarray(order)
    if isinstance(metric, DiagonalMetric):
        return (np.asarray(metric.scale, np.float64) ** 2)[chosen]
    full = np.asarray(metric.dense(), np.float64)
    full = (full + full.T) / 2  # receivers check symmetry to the last bit
    return full[np.ix_(chosen, chosen)]


def sites_of(names: Sequence[str]) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """Parameters behind the names of coordinates: shape and places of ``beta[0]``, ``beta[1]`` under ``beta``.

    A name whose indices do not make up a whole array is a parameter of its own.
    """
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        match = re.fullmatch(r"(.+)\[\d+(?:, \d+)*\]", name)
        groups.setdefault(match.group(1) if match else name, []).append(place)
    found: dict[str, tuple[tuple[int, ...], np.ndarray]] = {}
    for base, places in groups.items():
        held = [names[place] for place in places]
        shape = _shape_of(base, held)
        if shape is None:
            found |= {names[place]: ((), np.array([place])) for place in places}
        else:
            found[base] = (shape, np.array(places))
    return found


def _shape_of(base: str, held: list[str]) -> tuple[int, ...] | None:
    if held == [base]:
        return ()
    if base in held:
        return None
    last = [int(index) for index in held[-1][len(base) + 1 : -1].split(", ")]
    shape = tuple(index + 1 for index in last)
    return shape if held == scalar_names(base, shape) else None


def site_values(x: Float[np.ndarray, "chains dim"], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Unconstrained points cut into parameters, each of shape (chains, *shape)."""
    return {name: x[:, places].reshape(len(x), *shape) for name, (shape, places) in sites_of(names).items()}


def order_of(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Places of the coordinates when the parameters come in the order `wanted`.

    **Raises** `OptionError` where the parameters are not the same.
    """
    sites = sites_of(names)
    if sorted(sites) != sorted(wanted):
        raise OptionError(
            f"the receiver's parameters are {', '.join(wanted)}, the fit's {', '.join(sites)}. A metric only makes sense on its "
            "own coordinates. Name each of the fit's parameters once."
        )
    return np.concatenate([sites[name][1] for name in wanted])


def text(title: str, rows: Sequence[tuple[str, object]], settings: Sequence[str], note: str, caution: str) -> str:
    """How every export prints: what it holds, the lines that use it, and what the receiver makes of it."""
    width = max(len(name) for name, _ in rows) + 2
    lines = [title, *(f"  {name:<{width}}{value}" for name, value in rows)]
    lines += ["  use it with", *(f"    {line}" for line in settings), f"  {note}"]
    return "\n".join([*lines, f"  ! {caution}"] if caution else lines)


def _no_map(fit: FitResult) -> OptionError:
    assert fit.map is not None
    return OptionError(
        f"this fit lives in the coordinates of a map ({fit.map.named(fit.names)}). Its metric holds there, and this receiver samples "
        "in the target's own coordinates. Export to nutpie, Mici or walnutpie, which are given the density along the map; sample "
        "with `mc.sample(model, fit=fit)`; or fit without maps (`maps=False`)."
    )


def _in_form(metric: AbstractMetric, form: str, accepted: Sequence[str]) -> tuple[AbstractMetric, str]:
    own, note = form_of(metric), ""
    if form == "auto":
        form = own if own in accepted else "dense" if "dense" in accepted else "diagonal"
        if form == "dense" and own != "dense" and metric.dim > MAX_DENSE:
            form = "diagonal"
        if form == "diagonal" != own:
            note = (
                f"The receiver takes no {own.replace('_', '-')} metric and a dense one of {metric.dim:,} coordinates is too large: "
                "the best diagonal is handed over in its place."
                if "dense" in accepted
                else "The receiver takes diagonal metrics only: the best one is handed over, without the correlations."
            )
    if form == own:
        return metric, note
    if form == "diagonal":
        return best_diagonal(metric), note
    if form == "low_rank":
        raise OptionError(
            f'`form="low_rank"` is asked of a {own} metric. Only a low-rank fit has that form. Fit with `family="low_rank"`.'
        )
    if isinstance(metric, DiagonalMetric):
        scale = np.asarray(metric.scale, np.float64)
        return DenseMetric(np.diag(scale), np.diag(1.0 / scale)), note
    return DenseMetric.from_covariance(covariance(metric)), note


def _known_starts(fit: FitResult, gaussian: Gaussian, chains: int, seed: int) -> Evaluations | None:
    """Draws of the closing check, which are paid for; None where there are too few."""
    if fit.draws is None:
        return None
    pareto_k = fit.pareto_k.value if fit.pareto_k is not None else None
    places = resampled(gaussian, fit.draws, pareto_k, host_generator(named_key(seed, "export")), chains)
    return fit.draws.take(places) if len(places) == chains else None


def _starts(initial, chains: int, dim: int) -> np.ndarray:
    x = np.asarray(initial, np.float64)
    if x.shape != (chains, dim) or not np.all(np.isfinite(x)):
        raise OptionError(
            f"`initial` has shape {x.shape} or holds numbers that are not finite; {chains} chains start at points of {dim} "
            f"unconstrained coordinates. Pass shape ({chains}, {dim})."
        )
    return x


def _caution(fit: FitResult) -> str:
    if isinstance(fit.map, ScaledMap):
        return (
            "Along this map our own steps follow the position, and no receiver's do: with a constant step chains may miss the upper tail of the shared scale. "
            "Compare its quantiles with a run of `monochord.sample`."
        )
    if fit.verdict == "do not use":
        return 'The verdict on this fit is "do not use": no constant metric helps here, this one included.'
    if fit.verdict == "start only":
        return (
            'The verdict on this fit is "start only": look at the acceptance that you get, and let the receiver adapt from here '
            "where it disappoints."
        )
    residual = fit.score_residual
    return "" if residual is None or math.isfinite(residual.value) else "This fit has no evidence."
