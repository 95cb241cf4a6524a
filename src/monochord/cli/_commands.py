"""What the commands do, through the public API."""

import contextlib
import dataclasses
import json as json_module
import os
import sys
import tempfile
import time
from pathlib import Path

_STARTED = time.perf_counter()

import typer  # noqa: E402

import monochord as mc  # noqa: E402
from monochord import reports  # noqa: E402
from monochord._arviz import check_output, read_netcdf, write_netcdf  # noqa: E402
from monochord.cli import _invocation, _print  # noqa: E402
from monochord.cli._model_file import load_target  # noqa: E402
from monochord.errors import ModelError, OptionError, OutputError  # noqa: E402
from monochord.plan import SampleOptions  # noqa: E402
from monochord.runs import origin_of, stored_where  # noqa: E402
from monochord.settings import check_choice, check_count, check_fraction  # noqa: E402
from monochord.timing import import_finished  # noqa: E402

import_finished(_STARTED)


def _prepare(compile_cache: bool) -> None:
    """64-bit floats, and JAX's persistent compile cache in the user's cache folder."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if not compile_cache or os.environ.get("MONOCHORD_COMPILE_CACHE", "") == "off":
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("MONOCHORD_COMPILE_CACHE") or Path(base) / "monochord" / "compiled")
    with contextlib.suppress(OSError):  # a read-only home only means no cache
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _load(model: Path, data: Path | None, compile_cache: bool):
    _prepare(compile_cache)
    return load_target(model, data)


def _seed(seed: int | None) -> int:
    import secrets

    return secrets.randbits(31) if seed is None else check_count("seed", seed, 0, 2**63 - 1)


def _checked(target, seed: int, say):
    """Run the model check, print it, and stop on an error."""
    findings = mc.check(target, seed=seed)
    _print.findings(findings, say)
    for finding in findings:
        if finding.level == "error":
            raise ModelError(finding.message)
    return findings


def doctor(model, data, *, seed, json, compile_cache) -> None:
    """`monochord doctor`."""
    seed = _seed(seed)
    with _quiet(json):
        _prepare(compile_cache)
        findings = mc.doctor(load_target(model, data), seed=seed)
    failed = any(finding.level == "error" for finding in findings)
    if json:
        record = {"findings": _plain(findings), "gradients": findings.gradients, "seed": seed, "exit_code": 3 * failed}
        print(json_module.dumps(record))
    else:
        _print.findings(findings, print, "doctor")
        print(f"{findings.gradients} gradients, seed {seed}")
    if failed:
        raise typer.Exit(3)


def fit(model, data, *, seed, metric, json, progress, compile_cache, report=None) -> None:
    """`monochord fit`."""
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    _check_report(report)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.fit(target, seed=seed, family=family, progress=progress)
        if not json:
            _print.fit(result)
        page = _report(report, result, target, model, seed, say, findings=findings)
    if json:
        print(json_module.dumps({"findings": _plain(findings), **_print.fit_record(result), **page}))


def spectrum(model, data, *, seed, metric, target_accept, at, json, progress, compile_cache, report=None) -> None:
    """`monochord spectrum`."""
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    check_fraction("target_accept", target_accept)
    check_choice("at", at, ("fit", "mean"))
    _check_report(report)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.fit(target, seed=seed, family=family, progress=progress)
        figures = mc.spectrum(target, result, seed=seed, target_accept=target_accept, at=at)
        if not json:
            _print.fit(result)
            _print.spectrum(figures)
        page = _report(report, result, target, model, seed, say, findings=findings, spectrum=figures)
    if json:
        record = {"findings": _plain(findings), "fit": _print.fit_record(result), **_print.spectrum_record(figures)}
        print(json_module.dumps({**record, **page}))


def compare(
    model, data, *, seeds, seed, chains, target_accept, output, figure, force, json, progress, compile_cache
) -> None:
    """`monochord compare`."""
    from monochord.comparison import check_matplotlib, interrupted

    seed, say = _seed(seed), _print.speaker(json)
    check_count("seeds", seeds, 1, 1000)
    check_count("chains", chains, 1, 1000)
    check_fraction("target_accept", target_accept)
    for path in (output, figure):
        if path is not None:
            check_output(path, force)
    if figure is not None:
        check_matplotlib()
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.compare(
            target, seeds=seeds, seed=seed, chains=chains, target_accept=target_accept, progress=progress
        )
    record = {"findings": _plain(findings), **_print.comparison_record(result), "output": None, "figure": None}
    if not json:
        print(f"\n{result}")
    if result.rows and output is not None:
        result.write_csv(output, force)
        record["output"] = str(output)
    if result.rows and figure is not None:
        result.figure(figure, force)
        record["figure"] = str(figure)
    if json:
        print(json_module.dumps(record))
    else:
        for name in ("output", "figure"):
            if record[name]:
                print(f"\nwritten to {record[name]}")
    if result.status == "interrupted":
        print(interrupted(result), file=sys.stderr)
        raise typer.Exit(130)
    if result.reference is not None and not result.reference.is_reliable:
        raise typer.Exit(3)


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
        _check_report(self.report)


def sample(
    model, data, *, output, force, json, progress, compile_cache, seed, options=None, show_spectrum=False, no_fit=False,
    report=None, store=None,
) -> None:  # fmt: skip
    """`monochord sample`, and `monochord demo` with its spectrum shown."""
    options, wanted = options or {}, _Wanted(output, force, json, report)
    seed, say = _seed(seed), _print.speaker(json)
    SampleOptions(**options)  # refused before any work
    wanted.check()
    stored, command = stored_where(**store) if store is not None else None, _invocation.command(seed)
    if stored is not None:
        places = {"model": str(model.resolve()), "data": str(data.resolve()) if data is not None else None}
        stored = dataclasses.replace(stored, origin={**places, "command": command})
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
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
    with _quiet(json):
        target = _load(model, data, compile_cache)
        tree = mc.resume(store, target, progress=progress)
    _conclude(tree, target, model, wanted, say, store, {"findings": None, "spectrum": None, "fit": None})


def _conclude(tree, target, model: Path, wanted: _Wanted, say, store: Path | None, known: dict) -> None:
    """Write, print and judge a result; `known` is what was looked at before it was drawn."""
    findings, figures, attributes = known["findings"], known["spectrum"], tree["sample_stats"].attrs
    gradients = findings.gradients if findings is not None else 0
    with _quiet(wanted.json):
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
        page = _report(
            wanted.report, tree, target, model, int(attributes["seed"]), say, command=command, rows=rows, **known
        )
    if wanted.json:
        record = _print.sample_record(tree, rows, doubts, str(written) if written else None)
        record |= {"gradients_check": gradients, "store": str(store) if store is not None else None}
        extra = {"spectrum": _print.spectrum_record(figures)} if figures is not None else {}
        print(json_module.dumps({"findings": _plain(findings or []), **record, **extra, **page}))
    _exit(tree, rows)


def report(run: Path, model: Path | None, data, *, output: Path, force: bool, json: bool, compile_cache: bool) -> None:
    """`monochord report`."""
    reports.check_place(output, force)
    tree = read_netcdf(run)
    with _quiet(json):
        target = _load(model, data, compile_cache) if model is not None else None
        path = mc.report(tree, target, path=output, force=force, title=f"Posterior of {run.stem}")
    if json:
        print(json_module.dumps({"report": str(path), "bytes": path.stat().st_size}))
    else:
        print(f"report written to {path}")


def _check_report(path: Path | None) -> None:
    if path is not None:
        reports.check_place(path)


def _report(path: Path | None, result, target, model: Path, seed: int, say, **known) -> dict:
    """Write the page, if one is wanted; what --json says of it."""
    if path is None:
        return {}
    title = f"Posterior of {model.stem}"
    known = {"command": _invocation.command(seed), **known}
    written = mc.report(result, target, path=path, title=title, seed=seed, **known)
    say(f"report written to {written}")
    return {"report": str(written)}


@contextlib.contextmanager
def _quiet(json: bool):
    """With --json, what the model prints goes to standard error: standard output holds one object."""
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        yield


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


def _family(metric: str) -> str | None:
    check_choice("metric", metric, ("auto", "diagonal", "dense", "low_rank"))
    return None if metric == "auto" else metric


def _plain(findings) -> list[dict]:
    return [dataclasses.asdict(finding) for finding in findings]
