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
from monochord._arviz import write_netcdf  # noqa: E402
from monochord.cli import _print  # noqa: E402
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


def fit(model, data, *, seed, metric, json, progress, compile_cache, save=None, force=False, start=None) -> None:
    """`monochord fit`."""
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    if save is not None:
        check_output(save, force, "fit.npz")
    begin = _given_fit(start)
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = mc.fit(target, seed=seed, family=family, start=begin, progress=progress)
    _show_fit(result, json, findings, save, force)


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
    _show_fit(result, json, findings, save, force)


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


def _show_fit(result, json, findings, save, force) -> None:
    if json:
        saved = {"saved": str(_save(result, save, force))} if save is not None else {}
        print(json_module.dumps({"findings": _plain(findings), **_print.fit_record(result), **saved}))
    else:
        _print.fit(result)
        if save is not None:
            print(f"\nsaved to {_save(result, save, force)}")


def spectrum(model, data, *, seed, metric, target_accept, at, json, progress, compile_cache, fit=None) -> None:
    """`monochord spectrum`."""
    loaded = _given_fit(fit)
    family, seed, say = _family(metric), _seed(seed), _print.speaker(json)
    check_fraction("target_accept", target_accept)
    check_choice("at", at, ("fit", "mean"))
    with _quiet(json):
        target = _load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = _checked(target, seed, say)
        result = loaded or mc.fit(target, seed=seed, family=family, progress=progress)
        figures = mc.spectrum(target, result, seed=seed, target_accept=target_accept, at=at)
    if json:
        record = {"findings": _plain(findings), "fit": _print.fit_record(result), **_print.spectrum_record(figures)}
        print(json_module.dumps(record))
    else:
        _print.fit(result)
        _print.spectrum(figures)


def sample(
    model,
    data,
    *,
    output,
    force,
    json,
    progress,
    compile_cache,
    seed,
    options=None,
    show_spectrum=False,
    no_fit=False,
    fit=None,
) -> None:
    """`monochord sample`, and `monochord demo` with its spectrum shown."""
    options = options or {}
    seed, say = _seed(seed), _print.speaker(json)
    SampleOptions(**options)  # refused before any work
    if fit is not None and no_fit:
        raise OptionError("--fit and --no-fit are both given. One uses a fit, the other none. Leave one out.")
    loaded = _given_fit(fit)
    if output is not None:
        check_output(output, force)
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
        written = _write(tree, output, force)
        rows = mc.summary(tree)
        doubts = mc.doubts(tree, rows)
    if json:
        record = _print.sample_record(tree, rows, doubts, str(written) if written else None)
        record["gradients_check"] = findings.gradients
        extra = {"spectrum": _print.spectrum_record(figures)} if figures is not None else {}
        print(json_module.dumps({"findings": _plain(findings), **record, **extra}))
    else:
        _print.summary(tree, rows, doubts, findings.gradients)
        if figures is not None:
            _print.prediction(tree, rows, figures)
        if written:
            print(f"\nwritten to {written}")
    _exit(tree, rows)


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


def _save(result, path: Path, force: bool) -> Path:
    """Save a fit; if that fails, to the temporary folder, so that nothing computed is lost."""
    try:
        return result.save(path, force)
    except OutputError as error:
        rescue = Path(tempfile.mkdtemp(prefix="monochord-")) / "fit.npz"
        try:
            result.save(rescue)
        except OutputError:
            raise error from None
        raise OutputError(f"{error} The fit was saved to `{rescue}` instead.") from None


def _family(metric: str) -> str | None:
    check_choice("metric", metric, ("auto", "diagonal", "dense", "low_rank"))
    return None if metric == "auto" else metric


def _plain(findings) -> list[dict]:
    return [dataclasses.asdict(finding) for finding in findings]
