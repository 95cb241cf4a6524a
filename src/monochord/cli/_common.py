"""What several commands share: the model, its check, the seed, the page beside the work."""

import contextlib
import dataclasses
import os
import sys
import time
from pathlib import Path

_STARTED = time.perf_counter()

import monochord as mc  # noqa: E402
from monochord import reports  # noqa: E402
from monochord.cli import _invocation, _print  # noqa: E402
from monochord.cli._model_file import load_target  # noqa: E402
from monochord.errors import ModelError  # noqa: E402
from monochord.settings import check_count  # noqa: E402
from monochord.timing import import_finished  # noqa: E402

import_finished(_STARTED)


def prepare(compile_cache: bool) -> None:
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


def load(model: Path, data: Path | None, compile_cache: bool):
    prepare(compile_cache)
    return load_target(model, data)


def chosen_seed(seed: int | None) -> int:
    import secrets

    return secrets.randbits(31) if seed is None else check_count("seed", seed, 0, 2**63 - 1)


def checked(target, seed: int, say):
    """Run the model check, print it, and stop on an error."""
    findings = mc.check(target, seed=seed)
    _print.findings(findings, say)
    for finding in findings:
        if finding.level == "error":
            raise ModelError(finding.message)
    return findings


def check_report(path: Path | None) -> None:
    if path is not None:
        reports.check_place(path)


def write_report(path: Path | None, result, target, model: Path, seed: int, say, **known) -> dict:
    """Write the page, if one is wanted; what --json says of it."""
    if path is None:
        return {}
    title = f"Posterior of {model.stem}"
    known = {"command": _invocation.command(seed), **known}
    written = mc.report(result, target, path=path, title=title, seed=seed, **known)
    say(f"report written to {written}")
    return {"report": str(written)}


@contextlib.contextmanager
def quiet(json: bool):
    """With --json, what the model prints goes to standard error: standard output holds one object."""
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        yield


def plain(findings) -> list[dict]:
    return [dataclasses.asdict(finding) for finding in findings]
