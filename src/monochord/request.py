"""What a run was asked for, and how that is carried out: fit, plan, beginnings, chains, output."""

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from monochord import fits, pipeline, sampling
from monochord.arguments import check_belongs, gaussian_of
from monochord.arrays import named_key
from monochord.beginnings import beginnings, confirmed, unit_gaussian
from monochord.cost import Cost
from monochord.errors import OptionError, OutputError
from monochord.fits import FitResult
from monochord.gaussian import Gaussian
from monochord.mapping import in_coordinates_of
from monochord.metrics import Dense, DenseMetric
from monochord.mixture import Asked, GivenUp, OneMode, kept_modes, possible_modes, sampled_by_modes
from monochord.output import attributes_of, to_output
from monochord.plan import SampleOptions, plan
from monochord.progress import Reporter
from monochord.targets import AbstractTarget, check_signature
from monochord.traces import add_traces

if TYPE_CHECKING:
    from monochord.store import RunStore

WITHOUT_WEIGHTS = "The fit found several modes, and their weights are not estimated."
IN_A_STORE = "A run in a store goes on chain by chain; sample without `store=` for chains and weights by mode."
CHECKPOINT_SECONDS = 1.0  # of a fit between checkpoints: each costs some milliseconds


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything but the model: a run is a function of both. `initial` are unconstrained starts, shape (n, dim)."""

    options: SampleOptions
    seed: int
    fit: Any = None
    initial: np.ndarray | None = None

    @property
    def metric_name(self) -> str:
        """What the output calls the metric."""
        metric = self.options.metric
        return metric if isinstance(metric, str) else type(metric).__name__


def carried_out(target: AbstractTarget, request: Request, report: Reporter, store: "RunStore | None" = None) -> Any:
    """The run, or what is left of it where `store` holds a part; an ArviZ DataTree."""
    options, seed = request.options, request.seed
    archive = None
    with report:
        ahead = _compiled_ahead(target, request) if _makes_fit(request, store) else None
        known, cost, note = _fit_of(target, request, report, store)
        if known is not None and known.map is not None:
            target, ahead = in_coordinates_of(target, known), None
        starts = target.from_unconstrained(request.initial) if request.initial is not None else None
        gaussian = gaussian_of(known) if known is not None else unit_gaussian(target)
        if store is None and starts is None and known is not None and len(possible_modes(known)) > 1:
            try:
                return _by_modes(target, known, request, report, cost, note)
            except OneMode as found:
                cost, known = cost + found.cost, dataclasses.replace(known, modes=found.modes)
            except GivenUp as given_up:
                cost, note = cost + given_up.cost, f"{note} {WITHOUT_WEIGHTS} {given_up}".strip()
                report.note(note)
        elif store is not None and len(kept_modes(known)) > 1:
            note = f"{note} {WITHOUT_WEIGHTS} {IN_A_STORE}".strip()
        settings, first_metric, believed = plan(
            target.names, known, gaussian, options, starts is not None, store is None
        )
        key = named_key(seed, "sample")

        def describe(drawn) -> dict[str, Any]:
            found = attributes_of(target, known, drawn, seed, request.metric_name, note)
            return found | {"call": _call(request, store is not None)}

        drawn = None
        if store is not None:
            from monochord.store import StoreArchive

            archive = StoreArchive(store, target, options.chains, settings.num_draws, settings.target_ess, describe)
            judged = gaussian if known is not None else None
            drawn = sampling.resume_chains(key, target, archive, settings, judged, report.sampling)
        if drawn is None:
            begun, spent = beginnings(key, target, known, gaussian, believed, first_metric, options.chains, starts)
            # chains of other modes say nothing of it
            judged = gaussian if known is not None and len(begun) == 1 else None
            with _flushed(archive):
                drawn = sampling.run_chains(
                    key, target, begun, cost + spent, settings, judged, report.sampling, archive, ahead
                )
        report.sampling_done(drawn)
    if archive is None:
        return add_traces(to_output(target, drawn.segment, drawn.standpoint, describe(drawn)), known, drawn.warmup)
    archive.finish(drawn, describe(drawn))
    return None


def _by_modes(target, known: FitResult, request: Request, report, cost: Cost, note: str):
    """The run with chains for each mode. **Raises** `GivenUp`."""
    looks_for_map = request.fit is None and request.options.metric == "auto"
    asked = Asked(request.options, request.seed, looks_for_map, request.metric_name, note)
    return sampled_by_modes(target, known, asked, report, lambda found: found | {"call": _call(request, False)}, cost)


def _makes_fit(request: Request, store) -> bool:
    """Whether a fit is yet to be made."""
    if request.fit is not None:
        return False
    if store is None:
        return True
    from monochord.store import FITTED

    return store.ledger.last(FITTED) is None


def _compiled_ahead(target: AbstractTarget, request: Request):
    """The program that a trusted dense fit will sample with, where a fit is to be made; compiled beside it."""
    options = request.options
    is_likely = options.kernel in ("auto", "hmc") and options.metric in ("auto", "dense") and request.initial is None
    if not is_likely or not isinstance(fits.default_family(target.dim), Dense):
        return None
    check_signature(target)
    metric = DenseMetric.from_covariance(np.eye(target.dim))
    return sampling.compile_ahead(
        target, metric, named_key(request.seed, "sample"), options.max_tree_depth, options.chain_method
    )


def _call(request: Request, is_stored: bool) -> str:
    """The call that makes this run again, as far as text can say it: what differs from the defaults."""
    fit, options = request.fit, request.options
    given = "" if fit is None or fit is True else f", fit={fit if fit is False else '…'}"
    changed = [
        (field.name, getattr(options, field.name))
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    ]
    stated = "".join(
        f", {name}={value!r}" if isinstance(value, (str, int, float)) else f", {name}=…" for name, value in changed
    )
    return f"mc.sample(model, seed={request.seed}{given}{stated}{', store=…' if is_stored else ''})"


@contextlib.contextmanager
def _flushed(archive):
    """Commit what warm-up recorded, also where it ends early."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        if archive is not None:
            with contextlib.suppress(OutputError):
                archive.flush()
        raise


def _fit_of(target, request: Request, report, store) -> tuple[FitResult | None, Cost, str]:
    """`_fit_for`, or what a former process found."""
    if store is None:
        return _fit_for(target, request, report)
    from monochord.store import FIT, FITTED

    if store.ledger.last(FITTED) is not None:
        return store.latest(FITTED)
    written = time.perf_counter()

    def checkpoint(state) -> None:
        nonlocal written
        if time.perf_counter() - written > CHECKPOINT_SECONDS:
            store.commit(FIT, snapshot=state)
            store.drop_snapshots(FIT, but_last=True)
            written = time.perf_counter()

    found = _fit_for(target, request, report, store.latest(FIT), checkpoint)
    store.commit(FITTED, snapshot=found)
    store.drop_snapshots(FIT)
    return found


def _fit_for(target, request: Request, report, state=None, checkpoint=None) -> tuple[FitResult | None, Cost, str]:
    """The fit to sample with, what looking at a given one cost, and a sentence where that one is not used."""
    fit, seed = request.fit, request.seed
    if fit is False:
        check_signature(target)
        return None, Cost(), ""
    cost, note = Cost(), ""
    if isinstance(fit, Gaussian):
        given = fits.run(named_key(seed, "given"), target, fits.Given(fit))
        if given.verdict != "do not use":
            return given, cost, note
        cost, note = given.cost, (
            f'Measured on this target, the Gaussian handed over has a score residual of {given.score_residual} and the verdict '
            '"do not use": a fit was made instead.'
        )  # fmt: skip
        report.note(note)
    elif isinstance(fit, FitResult):
        check_belongs(fit, target)
        gaussian_of(fit)
        kept, cost, note = confirmed(named_key(seed, "confirm"), in_coordinates_of(target, fit), fit)
        if kept is not None:
            return kept, cost, note
        report.note(note)
    elif fit is not None and fit is not True:
        raise OptionError(
            f"`fit` is a {type(fit).__name__}. It may be a result of `monochord.fit`, a `Gaussian`, or False for no fit. "
            "Leave it out to have a fit made."
        )
    check_signature(target)
    algorithm = pipeline.algorithm_for(request.options.family)
    made = pipeline.fitted(
        target, seed, algorithm, request.initial, fits.MAX_STEPS, report, state, checkpoint,
        looks_for_map=request.initial is None and request.options.metric == "auto",
    )  # fmt: skip
    return made, cost, note
