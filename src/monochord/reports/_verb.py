"""The public verb: one file that shows a run."""

import os
from collections.abc import Callable
from pathlib import Path

from monochord import pipeline
from monochord._arviz import SummaryRow
from monochord.arguments import check_belongs
from monochord.continuation import remembered
from monochord.errors import OptionError, OutputError
from monochord.files import check_output, write_whole
from monochord.fits import FitResult
from monochord.reports._material import gather
from monochord.reports._page import GENERATOR, page
from monochord.settings import check_count, check_no_path
from monochord.spectra import Spectrum
from monochord.targets import AbstractTarget

HEAD = 1000  # characters of a file within which our mark stands


def report(
    result,
    /,
    model: Callable | AbstractTarget | None = None,
    *,
    fit: FitResult | None = None,
    spectrum: Spectrum | None = None,
    findings=None,
    rows: list[SummaryRow] | None = None,
    path: str | os.PathLike = "report.html",
    force: bool = False,
    title: str = "Posterior report",
    command: str | None = None,
    seed: int = 0,
    **model_options,
) -> Path:
    """Write one self-contained HTML file about a run; its path.

    It answers in order: can I trust this posterior, what did preconditioning do, what did it cost, what should I change
    in my model, and how was it made. It loads nothing from anywhere and has a light and a dark form.

    `result` is a DataTree of `mc.sample`, or a `FitResult` where nothing was drawn. A result of this process knows its
    target; for one read from a file pass `model` (with the options of `mc.target`), or the page says what it lacks.
    `fit`, `spectrum` (of `mc.spectrum`), `findings` (of `mc.check`) and `rows` (of `mc.summary`) are made where they are left
    out: up to 1,000 coordinates the spectrum costs ``32 · dim`` gradients, with `seed`. `command` is shown as what made the run.
    An earlier report at `path` is replaced; another file only with `force`.

    **Raises** `OptionError` for a `result` of another type or a `fit` of another target, `OutputError` where `path` cannot be
    written.
    """
    seed = check_count("seed", seed, 0, 2**63 - 1)
    check_no_path("report", result)
    if isinstance(result, FitResult):
        data, fit = None, result
    elif "posterior" in getattr(result, "children", {}) and "sample_stats" in result.children:
        data = result
    else:
        raise OptionError(
            f"`report` was given a {type(result).__name__}. It shows a result of `monochord.sample` or of `monochord.fit`. Pass one."
        )
    place = check_place(path, force)
    target = remembered(data) if model is None and data is not None else None
    if model is not None:
        target = pipeline.target(model, **model_options)
    if target is not None and fit is not None:
        check_belongs(fit, target)
    if target is not None and data is not None:
        _check_same(data, target)
    material = gather(data, fit, target, spectrum, findings, rows, seed, title, command)
    write_whole(place, page(material).encode("utf-8"))
    return place


def check_place(path: str | os.PathLike, force: bool = False) -> Path:
    """Where a report may be written: a new file, an earlier report, or with `force` any other; asked before hours of work.

    **Raises** `OutputError` where it may not.
    """
    path = Path(path)
    ours = _is_ours(path)
    if path.is_file() and not (ours or force):
        raise OutputError(
            f"the file `{path}` exists and is no report of Monochord. It may be something that you need. Name another file (or, if you "
            "are sure, `force=True`; `monochord report --force`)."
        )
    return check_output(path, force or ours)


def _is_ours(path: Path) -> bool:
    """Whether an earlier report stands there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return path.is_file() and f'content="{GENERATOR}"' in file.read(HEAD)
    except OSError:
        return False


def _check_same(data, target: AbstractTarget) -> None:
    if "unconstrained_posterior" not in data.children:
        return
    names = tuple(str(name) for name in data["unconstrained_posterior"]["coordinate"].values)
    if names != target.names:
        raise OptionError(
            f"`result` has the coordinates {', '.join(names[:3])}…, the model has {', '.join(target.names[:3])}…. A report shows one "
            "model. Pass that one."
        )
