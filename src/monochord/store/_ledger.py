"""The ledger: numbered commit records, each with hashes of the files that it makes count and of the record before it.

Writes to several files are not atomic together; a record is one file that is renamed into place after all others are
synced. What no record names does not count, and what a record names must be there bit for bit.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from monochord.errors import DataError
from monochord.store._durable import sync_folders, write_file

FOLDER = ".monochord"


def digest(content: bytes | memoryview) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class Ledger:
    """The records of the store at `root`, read and checked when made.

    **Raises** `DataError` for a record that is missing, truncated or altered.
    """

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / FOLDER / "records"
        self.records: list[dict[str, Any]] = []
        for number, path in enumerate(sorted(self.folder.glob("*.json"))):
            self.records.append(self._read(path, number))

    def _read(self, path: Path, number: int) -> dict[str, Any]:
        if path.name != f"{number:06}.json":
            raise damaged(self.root, f"record {number} is missing")
        try:
            document = json.loads(path.read_bytes())
            content = document["content"]
            whole = digest(_canonical(content)) == document["sha256"]
        except (ValueError, KeyError, TypeError, OSError):
            whole, content = False, {}
        if not whole:
            raise damaged(self.root, f"`{path.relative_to(self.root)}` is truncated or altered")
        if content["before"] != self._last_hash():
            raise damaged(self.root, f"`{path.relative_to(self.root)}` does not follow the record before it")
        return content

    def _last_hash(self) -> str:
        return digest(_canonical(self.records[-1])) if self.records else ""

    def commit(self, kind: str, files: dict[str, str], **content: Any) -> dict[str, Any]:
        """Make `files` (path relative to the root: SHA-256), which are written and synced, count.

        **Raises** `OutputError` where the record cannot be written; nothing has changed then.
        """
        record = {"number": len(self.records), "kind": kind, "before": self._last_hash(), "files": files, **content}
        sync_folders({(self.root / name).parent for name in files})
        document = {"sha256": digest(_canonical(record)), "content": record}
        path = self.folder / f"{record['number']:06}.json"
        write_file(path, json.dumps(document).encode())
        sync_folders({self.folder})
        self.records.append(record)
        return record

    def withdraw_last(self) -> None:
        """Take back the last record, so that its files may be written anew."""
        record = self.records.pop()
        (self.folder / f"{record['number']:06}.json").unlink()
        sync_folders({self.folder})

    def files(self) -> dict[str, str]:
        """Every file that counts; a later record's hash stands for an earlier one's."""
        return {name: value for record in self.records for name, value in record["files"].items()}

    def last(self, *kinds: str) -> dict[str, Any] | None:
        """The last record of some kinds."""
        return next((record for record in reversed(self.records) if record["kind"] in kinds), None)

    def read(self, name: str, expected: str) -> bytes:
        """A file that a record names. **Raises** `DataError` where it is not what was committed."""
        path = self.root / name
        try:
            content = path.read_bytes()
        except OSError:
            raise damaged(self.root, f"`{name}` is missing") from None
        if digest(content) != expected:
            raise damaged(self.root, f"`{name}` is truncated or altered")
        return content


def damaged(root: Path, what: str) -> DataError:
    """The error for a store that is not what was committed."""
    return DataError(
        f"the store `{root}` is damaged: {what}. Its records do not vouch for it, so nothing of it is used. Restore it from a "
        "copy, or sample anew."
    )


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
