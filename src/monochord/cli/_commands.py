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
from monochord._arviz import read_netcdf, write_netcdf  # noqa: E402
from monochord.cli import _invocation, _print  # noqa: E402
from monochord.cli._model_file import load_target  # noqa: E402
from monochord.errors import ModelError, OptionError, OutputError  # noqa: E402
from monochord.files import check_output  # noqa: E402
from monochord.plan import SampleOptions  # noqa: E402
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


def fit(
    model, data, *, seed, metric, json, progress, compile_cache, save=None, force=False, start=None, report=None
) -> None:
    """`monochord fit`."""
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    if save is not None:
        check_output(save, force, "fit.npz")
    _check_report(report)
    begin = _given_fit(start)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.fit(target, seed=seed, family=family, start=begin, progress=progress)
        if not json:
            _print.fit(result)
        saved = _save(result, save, force, say)
        page = _report(report, result, target, model, seed, say, findings=findings)
    if json:
        print(json_module.dumps({"findings": _plain(findings), **_print.fit_record(result), **saved, **page}))


def refit(saved, model, data, *, seed, json, compile_cache, save=None, force=False) -> None:
    """`monochord refit`."""
    seed, say = _seed(seed), _print.speaker(json)
    if save is not None:
        check_output(save, force, "fit.npz")
    old = mc.load(saved)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.refit(old, target, seed=seed)
        if not json:
            _print.fit(result)
        written = _save(result, save, force, say)
    if json:
        print(json_module.dumps({"findings": _plain(findings), **_print.fit_record(result), **written}))


def export(saved, to, out, *, model, data, parameters, force, json, options) -> None:
    """`monochord export`."""
    check_choice("to", to, ("cmdstan", "advanced_hmc", "plain"))
    if to != "cmdstan" and (model or data or parameters):
        raise OptionError(f"--model, --data and --parameters are for CmdStan, not for {to}. Leave them out.")
    fit = mc.load(saved)
    if to == "cmdstan":
        target = None
        if model is not None:
            with _quiet(json):
                target = _load(model, data, True)
        wanted = [name.strip() for name in parameters.split(",")] if parameters else None
        made = mc.export.to_cmdstan(fit, target, parameters=wanted, **options)
    else:
        made = getattr(mc.export, f"to_{to}")(fit, **options)
    written = made.write(out, force)
    if json:
        print(
            json_module.dumps({"written": [str(path) for path in written], "note": made.note, "caution": made.caution})
        )
    else:
        print(made)
        print("\n".join(["", *(f"written to {path}" for path in written)]))


def spectrum(
    model, data, *, seed, metric, target_accept, at, json, progress, compile_cache, fit=None, report=None
) -> None:
    """`monochord spectrum`."""
    loaded = _given_fit(fit)
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    check_fraction("target_accept", target_accept)
    check_choice("at", at, ("fit", "mean"))
    _check_report(report)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = loaded or mc.fit(target, seed=seed, family=family, progress=progress)
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


def sample(
    model, data, *, output, force, json, progress, compile_cache, seed, options=None, show_spectrum=False, no_fit=False,
    fit=None, report=None,
) -> None:  # fmt: skip
    """`monochord sample`, and `monochord demo` with its spectrum shown."""
    options = options or {}
    seed, say = _seed(seed), _print.speaker(json)
    SampleOptions(**options)  # refused before any work
    if fit is not None and no_fit:
        raise OptionError("--fit and --no-fit are both given. One uses a fit, the other none. Leave one out.")
    loaded = _given_fit(fit)
    if output is not None:
        check_output(output, force)
    _check_report(report)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result, figures = (False if no_fit else loaded), None
        if show_spectrum:
            result = mc.fit(target, seed=seed, progress=progress)
            figures = mc.spectrum(target, result, seed=seed)
            if not json:
                _print.fit(result)
                _print.spectrum(figures)
        tree = mc.sample(target, fit=result, seed=seed, progress=progress, **options)
        tree["sample_stats"].attrs["command"] = _invocation.command(seed)
        written = _write(tree, output, force)
        rows = mc.summary(tree)
        doubts = mc.doubts(tree, rows)
        if not json:
            _print.summary(tree, rows, doubts, findings.gradients)
            if figures is not None:
                _print.prediction(tree, rows, figures)
            if written:
                print(f"\nwritten to {written}")
        page = _report(
            report, tree, target, model, seed, say, findings=findings, spectrum=figures, fit=result or None, rows=rows
        )
    if json:
        record = _print.sample_record(tree, rows, doubts, str(written) if written else None)
        record["gradients_check"] = findings.gradients
        extra = {"spectrum": _print.spectrum_record(figures)} if figures is not None else {}
        print(json_module.dumps({"findings": _plain(findings), **record, **extra, **page}))
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
    written = mc.report(
        result, target, path=path, title=title, command=_invocation.command(seed), seed=seed, **known
    )  # fmt: skip
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


def _given_fit(path: Path | None):
    """The fit in a file, read before any work."""
    return mc.load(path) if path is not None else None


def _save(result, path: Path | None, force: bool, say) -> dict:
    """Save a fit, if wanted; if that fails, to the temporary folder, so that nothing computed is lost. What --json says of it."""
    if path is None:
        return {}
    try:
        written = result.save(path, force)
    except OutputError as error:
        rescue = Path(tempfile.mkdtemp(prefix="monochord-")) / "fit.npz"
        try:
            result.save(rescue)
        except OutputError:
            raise error from None
        raise OutputError(f"{error} The fit was saved to `{rescue}` instead.") from None
    say(f"saved to {written}")
    return {"saved": str(written)}


def _family(metric: str) -> str | None:
    check_choice("metric", metric, ("auto", "diagonal", "dense", "low_rank"))
    return None if metric == "auto" else metric


def _plain(findings) -> list[dict]:
    return [dataclasses.asdict(finding) for finding in findings]
