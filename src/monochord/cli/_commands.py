"""What the commands do, through the public API; `_runs.py` has those that draw."""

import json as json_module
import sys
import tempfile
from pathlib import Path

import typer

import monochord as mc
from monochord import reports
from monochord._arviz import read_netcdf
from monochord.cli import _print
from monochord.cli._common import (
    check_report,
    checked,
    chosen_seed,
    given_fit,
    load,
    plain,
    prepare,
    quiet,
    write_report,
)
from monochord.cli._model_file import load_target
from monochord.errors import OptionError, OutputError
from monochord.files import check_output
from monochord.settings import check_choice, check_count, check_fraction


def doctor(model, data, *, seed, json, compile_cache) -> None:
    """`monochord doctor`."""
    seed = chosen_seed(seed)
    with quiet(json):
        prepare(compile_cache)
        findings = mc.doctor(load_target(model, data), seed=seed)
    failed = any(finding.level == "error" for finding in findings)
    if json:
        record = {"findings": plain(findings), "gradients": findings.gradients, "seed": seed, "exit_code": 3 * failed}
        print(json_module.dumps(record))
    else:
        _print.findings(findings, print, "doctor")
        print(f"{findings.gradients} gradients, seed {seed}")
    if failed:
        raise typer.Exit(3)


def fit(
    model,
    data,
    *,
    seed,
    metric,
    json,
    progress,
    compile_cache,
    save=None,
    force=False,
    start=None,
    maps=True,
    report=None,
) -> None:
    """`monochord fit`."""
    family, seed, say = _family(metric), chosen_seed(seed), _print.speaker(json)
    if save is not None:
        check_output(save, force, "fit.npz")
    check_report(report)
    begin = given_fit(start)
    with quiet(json):
        target = load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = checked(target, seed, say)
        result = mc.fit(target, seed=seed, family=family, start=begin, maps=maps, progress=progress)
        if not json:
            _print.fit(result)
            _print.rewritten(target, result)
        saved = _save(result, save, force, say)
        page = write_report(report, result, target, model, seed, say, findings=findings)
    if json:
        print(json_module.dumps({"findings": plain(findings), **_print.fit_record(result), **saved, **page}))


def refit(saved, model, data, *, seed, json, compile_cache, save=None, force=False) -> None:
    """`monochord refit`."""
    seed, say = chosen_seed(seed), _print.speaker(json)
    if save is not None:
        check_output(save, force, "fit.npz")
    old = mc.load(saved)
    with quiet(json):
        target = load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = checked(target, seed, say)
        result = mc.refit(old, target, seed=seed)
        if not json:
            _print.fit(result)
        written = _save(result, save, force, say)
    if json:
        print(json_module.dumps({"findings": plain(findings), **_print.fit_record(result), **written}))


def export(saved, to, out, *, model, data, parameters, force, json, options) -> None:
    """`monochord export`."""
    check_choice("to", to, ("cmdstan", "advanced_hmc", "plain"))
    if to != "cmdstan" and (model or data or parameters):
        raise OptionError(f"--model, --data and --parameters are for CmdStan, not for {to}. Leave them out.")
    fit = mc.load(saved)
    if to == "cmdstan":
        target = None
        if model is not None:
            with quiet(json):
                target = load(model, data, True)
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
    loaded = given_fit(fit)
    family, seed, say = _family(metric), chosen_seed(seed), _print.speaker(json)
    check_fraction("target_accept", target_accept)
    check_choice("at", at, ("fit", "mean"))
    check_report(report)
    with quiet(json):
        target = load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = checked(target, seed, say)
        result = loaded or mc.fit(target, seed=seed, family=family, maps=False, progress=progress)
        figures = mc.spectrum(target, result, seed=seed, target_accept=target_accept, at=at)
        if not json:
            _print.fit(result)
            _print.spectrum(figures)
        page = write_report(report, result, target, model, seed, say, findings=findings, spectrum=figures)
    if json:
        record = {"findings": plain(findings), "fit": _print.fit_record(result), **_print.spectrum_record(figures)}
        print(json_module.dumps({**record, **page}))


def compare(
    model, data, *, seeds, seed, chains, target_accept, output, figure, force, json, progress, compile_cache
) -> None:
    """`monochord compare`."""
    from monochord.comparison import check_matplotlib, interrupted

    seed, say = chosen_seed(seed), _print.speaker(json)
    check_count("seeds", seeds, 1, 1000)
    check_count("chains", chains, 1, 1000)
    check_fraction("target_accept", target_accept)
    for path in (output, figure):
        if path is not None:
            check_output(path, force)
    if figure is not None:
        check_matplotlib()
    with quiet(json):
        target = load(model, data, compile_cache)
        say(f"seed {seed}")
        findings = checked(target, seed, say)
        result = mc.compare(
            target, seeds=seeds, seed=seed, chains=chains, target_accept=target_accept, progress=progress
        )
    record = {"findings": plain(findings), **_print.comparison_record(result), "output": None, "figure": None}
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


def report(run: Path, model: Path | None, data, *, output: Path, force: bool, json: bool, compile_cache: bool) -> None:
    """`monochord report`."""
    reports.check_place(output, force)
    tree = read_netcdf(run)
    with quiet(json):
        target = load(model, data, compile_cache) if model is not None else None
        path = mc.report(tree, target, path=output, force=force, title=f"Posterior of {run.stem}")
    if json:
        print(json_module.dumps({"report": str(path), "bytes": path.stat().st_size}))
    else:
        print(f"report written to {path}")


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
