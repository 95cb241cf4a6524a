"""`RunStore`: a store that one process writes: its run's description, checkpoints, and the ledger that makes them count."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from monochord.errors import DataError, OptionError, OutputError
from monochord.store._durable import Lock, sync_folders, write_file
from monochord.store._layout import FORMAT, StoreOptions
from monochord.store._ledger import FOLDER, Ledger, digest
from monochord.store._snapshot import from_bytes, to_bytes

BEGIN, FIT, FITTED, JOURNAL, LAYOUT, BLOCK, END = "begin", "fit", "fitted", "journal", "layout", "block", "end"


class RunStore:
    """A store opened for writing; `run` says what the run is.

    `is_writer` is False in all processes of a run but the first, which only read.
    """

    def __init__(self, root: Path, is_writer: bool = True):
        self.root, self.is_writer = root, is_writer
        self._lock = Lock(root / FOLDER / "lock") if is_writer else None
        self.ledger = Ledger(root)
        self.run: dict[str, Any] = self.ledger.records[0]["run"] if self.ledger.records else {}

    def commit(self, kind: str, files: dict[str, str] | None = None, snapshot: Any = None, **content: Any) -> None:
        """A record of `files`, and of `snapshot`, a value that only the latest record of its kind needs."""
        if not self.is_writer:
            return
        if snapshot is not None:
            (name, value), *_ = self.write_snapshot(
                f"{FOLDER}/snapshots/{len(self.ledger.records):06}-{kind}.npz", snapshot
            ).items()
            sync_folders({(self.root / name).parent})
            content["snapshot"] = {"name": name, "sha256": value}
        self.ledger.commit(kind, files or {}, **content)

    def write_snapshot(self, name: str, value: Any) -> dict[str, str]:
        """Write `value` to the file `name`, to be committed with the hash that comes back."""
        data = to_bytes(value)
        write_file(self.root / name, data)
        return {name: digest(data)}

    def read_snapshot(self, name: str, expected: str) -> Any:
        """The value in a file that a record names."""
        return from_bytes(self.ledger.read(name, expected))

    def snapshot(self, record: dict[str, Any]) -> Any:
        """The value that a record was committed with."""
        return self.read_snapshot(record["snapshot"]["name"], record["snapshot"]["sha256"])

    def latest(self, *kinds: str) -> Any:
        """The snapshot of the last record of some kinds, None where there is none."""
        record = self.ledger.last(*kinds)
        return self.snapshot(record) if record is not None else None

    def drop_snapshots(self, *kinds: str, but_last: bool = False) -> None:
        """Remove snapshots that no one will read again; `but_last` leaves two, as a reader may be at the last but one."""
        if not self.is_writer:
            return
        records = [record for record in self.ledger.records if record["kind"] in kinds and "snapshot" in record]
        for record in records[-3::-1] if but_last else records[::-1]:
            path = self.root / record["snapshot"]["name"]
            if not path.exists():  # those before it were removed by an earlier call
                return
            path.unlink()

    def close(self) -> None:
        """Let another process write."""
        if self._lock is not None:
            self._lock.release()


def begin_store(options: StoreOptions, run: dict[str, Any], inputs: Any, is_writer: bool) -> RunStore:
    """A new store with its first record: `run` in words and numbers, `inputs` as a snapshot.

    **Raises** `OutputError` where something stands at the path, or it cannot be written; `OptionError` for inputs that
    have no stored form.
    """
    root = options.path
    if is_writer:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise OutputError(
                f"the store `{root}` exists. It may hold an earlier run. Go on with it by `monochord.resume` (or `monochord resume`), "
                "or name another."
            )
        try:
            (root / FOLDER / "records").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the store `{root}` cannot be made: {error.strerror or error}. Draws need a place. Name another."
            ) from None
    store = RunStore(root, is_writer)
    stored = {"keep": options.keep, "thin": options.thin, "block": options.block, "origin": options.origin}
    store.run = json.loads(json.dumps({"format": FORMAT, "store": stored, **run}))
    try:
        store.commit(BEGIN, run=store.run, snapshot=inputs)
    except Exception as error:
        store.close()
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        with contextlib.suppress(OSError):  # a folder that stood there before may be a mount point
            root.rmdir()
        if isinstance(error, TypeError):
            raise OptionError(
                f"this run cannot be stored: {error}. A store must hold what `fit=`, `metric=` and `initial=` were given. Pass "
                "metrics of Monochord's own classes."
            ) from None
        raise
    return store


def reopen_store(path: Path, is_writer: bool) -> RunStore:
    """A store of a former process, checked, with what it wrote and never committed removed.

    **Raises** `OptionError` where there is none, `DataError` where it is damaged or of another format, `OutputError` where
    another process is writing it.
    """
    check_is_store(path)
    store = RunStore(path, is_writer)
    try:
        check_format(store.ledger)
        if is_writer:
            _sweep(store)
    except BaseException:
        store.close()
        raise
    return store


def run_of(path: Path) -> dict[str, Any]:
    """What the run in a store is. **Raises** as `reopen_store` does."""
    check_is_store(path)
    ledger = Ledger(path)
    check_format(ledger)
    return ledger.records[0]["run"]


def check_is_store(path: Path) -> None:
    """**Raises** `OptionError` where `path` holds no store of ours."""
    if not (path / FOLDER / "records").is_dir():
        raise OptionError(
            f"`{path}` is not a store of Monochord. It has no folder `{FOLDER}` with commit records. Name the folder that `store=` or "
            "`--store` was given."
        )


def check_format(ledger: Ledger) -> None:
    """**Raises** `DataError` for a store without its first record or of another format."""
    if not ledger.records:
        raise DataError(
            f"the store `{ledger.root}` holds no commit record: its run ended before anything was done. Remove it, and sample anew."
        )
    found = ledger.records[0]["run"]["format"]
    if found != FORMAT:
        raise DataError(
            f"the store `{ledger.root}` has format {found}, this version of Monochord reads {FORMAT}. Use the version that wrote it."
        )


def _sweep(store: RunStore) -> None:
    """Remove files that were written and never committed: whole chunks without a record, and parts of files."""
    known = set(store.ledger.files())
    known |= {record["snapshot"]["name"] for record in store.ledger.records if "snapshot" in record}
    keep = {f"{FOLDER}/lock"}
    for path in store.root.rglob("*"):
        name = path.relative_to(store.root).as_posix()
        if path.is_file() and name not in known | keep and not name.startswith(f"{FOLDER}/records/0"):
            path.unlink(missing_ok=True)
