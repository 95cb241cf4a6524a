"""Files that are whole or absent, also after a power cut, and a lock that ends with its process."""

import contextlib
import os
from pathlib import Path

from monochord.errors import OutputError


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write under a temporary name in the same folder, sync, and rename into place. `sync_folders` makes the name last.

    **Raises** `OutputError`; whatever stood at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"writing `{path}` failed: {error.strerror or error}. What was committed before is safe. Free space, then go on "
            "with `monochord resume` or `monochord.resume`."
        ) from error


def sync_folders(paths: set[Path]) -> None:
    """Make the names of files in these folders survive a power cut."""
    for path in paths:
        with contextlib.suppress(OSError):  # not every system lets a folder be opened
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class Lock:
    """One writer at a time; the system releases it when the process ends, however it ends.

    **Raises** `OutputError` where another process holds it. Systems without `fcntl` have no lock.
    """

    def __init__(self, path: Path):
        self._file = open(path, "ab")  # noqa: SIM115
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OutputError(
                f"the store `{path.parent.parent}` is being written by another process. Two writers would spoil it. Wait for that "
                "one, or name another store."
            ) from None

    def release(self) -> None:
        """Let others write."""
        self._file.close()
