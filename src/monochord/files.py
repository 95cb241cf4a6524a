"""Where a result may be written, and how: all of it or nothing."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from monochord.errors import OutputError


def check_output(path: str | os.PathLike, force: bool = False, example: str = "posterior.nc") -> Path:
    """Where a result may be written, links resolved; asked before hours of work.

    **Raises** `OutputError` when it exists (without `force`), is a folder or a device, or its folder is
    missing or not writable.
    """
    try:
        path = Path(path).resolve()
        if path.is_dir():
            raise OutputError(
                f"the output `{path}` is a folder. A result is one file. Name a file in it, such as `{path / example}`."
            )
        if path.exists() and not path.is_file():
            raise OutputError(f"the output `{path}` is a device or a pipe. A result is a regular file. Name one.")
        if path.exists() and not force:
            raise OutputError(
                f"the output `{path}` exists. It may hold an earlier result. Name another file, or replace it with `force=True` (--force)."
            )
        if not path.parent.is_dir():
            raise OutputError(
                f"the folder `{path.parent}` of the output does not exist. Nothing can be written there. Create it, or name another."
            )
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".monochord-"):
            pass
    except (OSError, RuntimeError) as error:
        if isinstance(error, OutputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"the output `{path}` is not writable ({reason}). The result needs a place. Change permissions, or name another."
        ) from None
    return path


def write_folder(folder: str | os.PathLike, contents: Mapping[str, bytes], force: bool = False) -> list[Path]:
    """Write files by name into a folder, which is made if its parent exists; each file whole, and none if one may not be.

    **Raises** `OutputError` as `check_output` and `write_whole` do.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder `{folder}` cannot be made ({error.strerror or error}). The files go there. Create it, or name another."
        ) from None
    paths = [check_output(folder / name, force) for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def write_whole(path: Path, content) -> None:
    """Write bytes under a temporary name in the same folder, sync, and move them into place: all or nothing.

    **Raises** `OutputError` when writing fails; whatever stood at `path` is untouched.
    """
    temporary = path.with_name(f".monochord-{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"writing `{path}` failed: {error.strerror or error}. The old file, if any, is untouched. Free space or name another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
