"""The commands that draw: `sample` (also behind `demo`) and `resume`."""

import dataclasses
import json as json_module
import sys
import tempfile
from pathlib import Path

import typer

import monochord as mc
from monochord._arviz import check_output, write_netcdf
from monochord.cli import _invocation, _print
from monochord.cli._common import check_report, checked, chosen_seed, load, plain, quiet, write_report
from monochord.errors import OptionError, OutputError
from monochord.plan import SampleOptions
from monochord.runs import origin_of, stored_where


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """How a run is to end."""

    output: Path | None
    force: bool
    json: bool
    report: Path | None

    def check(self) -> None:
        """**Raises** `OutputError` before any work where a file could not be written."""
        if self.output is not None:
            check_output(self.output, self.force)
        check_report(self.report)


def sample(
    model, data, *, output, force, json, progress, compile_cache, seed, options=None, show_spectrum=False, no_fit=False,
    report=None, store=None,
) -> None:  # fmt: skip
    """`monochord sample`, and `monochord demo` with its spectrum shown."""
    options, wanted = options or {}, _Wanted(output, force, json, report)
    seed, say = chosen_seed(seed), _print.speaker(json)
    SampleOptions(**options)  # refused before any work
    wanted.check()
    stored, command = stored_where(**store) if store is not None else None, _invocation.command(seed)
    if stored is not None:
        places = {"model": str(model.resolve()), "data": str(data.resolve()) if data is not None else None}
        stored = dataclasses.replace(stored, origin={**places, "command": command})
    with quiet(json):
        target = load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = checked(target, seed, say)
        result, figures = (False if no_fit else None), None
        if show_spectrum:
            result = mc.fit(target, seed=seed, progress=progress)
            figures = mc.spectrum(target, result, seed=seed)
            if not json:
                _print.fit(result)
                _print.spectrum(figures)
        tree = mc.sample(target, fit=result, seed=seed, progress=progress, store=stored, **options)
        tree["sample_stats"].attrs["command"] = command
    known = {"findings": findings, "spectrum": figures, "fit": result or None}
    _conclude(tree, target, model, wanted, say, stored.path if stored is not None else None, known)


def resume(store, model, data, *, output, force, json, progress, compile_cache, report=None) -> None:
    """`monochord resume`."""
    wanted, say = _Wanted(output, force, json, report), _print.speaker(json)
    wanted.check()
    origin = origin_of(store)
    if origin is None and model is None:
        raise OptionError(
            f"the store `{store}` was begun from Python, so it does not know the model's file. Call `monochord.resume(store, model)` "
            "there, or name the file with --model."
        )
    origin = origin or {"model": None, "data": None}
    model = model or Path(origin["model"])
    data = data or (Path(origin["data"]) if origin["data"] is not None else None)
    with quiet(json):
        target = load(model, data, compile_cache)
        tree = mc.resume(store, target, progress=progress)
    _conclude(tree, target, model, wanted, say, store, {"findings": None, "spectrum": None, "fit": None})


def _conclude(tree, target, model: Path, wanted: _Wanted, say, store: Path | None, known: dict) -> None:
    """Write, print and judge a result; `known` is what was looked at before it was drawn."""
    findings, figures, attributes = known["findings"], known["spectrum"], tree["sample_stats"].attrs
    gradients = findings.gradients if findings is not None else 0
    with quiet(wanted.json):
        written = _write(tree, wanted.output, wanted.force)
        rows = mc.summary(tree)
        doubts = mc.doubts(tree, rows)
        if not wanted.json:
            _print.summary(tree, rows, doubts, gradients)
            if figures is not None:
                _print.prediction(tree, rows, figures)
            if written:
                print(f"\nwritten to {written}")
            if store is not None:
                print(f"\nstored in {store}")
        command = attributes.get("command", _invocation.command())
        page = write_report(
            wanted.report, tree, target, model, int(attributes["seed"]), say, command=command, rows=rows, **known
        )
    if wanted.json:
        record = _print.sample_record(tree, rows, doubts, str(written) if written else None)
        record |= {"gradients_check": gradients, "store": str(store) if store is not None else None}
        extra = {"spectrum": _print.spectrum_record(figures)} if figures is not None else {}
        print(json_module.dumps({"findings": plain(findings or []), **record, **extra, **page}))
    _exit(tree, rows)


def _exit(tree, rows) -> None:
    if tree["sample_stats"].attrs["status"] == "interrupted":
        count = tree["posterior"].sizes["draw"]
        print(f"Interrupted: the {count} draws of each chain made so far were kept.", file=sys.stderr)
        raise typer.Exit(130)
    if not mc.is_trustworthy(tree, rows):
        raise typer.Exit(3)


def _write(tree, output: Path | None, force: bool) -> Path | None:
    """Write the result; if that fails, to the temporary folder, so that nothing computed is lost."""
    if output is None:
        return None
    try:
        write_netcdf(tree, output, force)
    except OutputError as error:
        rescue = Path(tempfile.mkdtemp(prefix="monochord-")) / "posterior.nc"
        try:
            write_netcdf(tree, rescue)
        except OutputError:
            raise error from None
        raise OutputError(f"{error} The result was saved to `{rescue}` instead.") from None
    return output
