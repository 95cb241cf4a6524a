"""The only file that imports Zarr: arrays written durably and hashed, and read no further than their hashes vouch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from monochord.errors import MissingPackage
from monochord.store._durable import write_file
from monochord.store._ledger import Ledger, damaged, digest

try:
    import zarr
    from zarr.storage import LocalStore
except ImportError:
    raise MissingPackage("zarr", "a store", extra="store") from None


METADATA = "zarr.json"


def _hash_of(key: str, content) -> str:
    """SHA-256 of a file; of an array's description without its length and attributes, which change while a run goes on."""
    if not key.endswith(METADATA):
        return digest(content)
    document = json.loads(bytes(content))
    document.pop("attributes", None)
    if len(document.get("shape", ())) > 1:
        document["shape"][1] = None
    return digest(json.dumps(document, sort_keys=True).encode())


class HashedStore(LocalStore):
    """Files written whole, synced and renamed into place; `hashes` are of all that was written since it was last emptied."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.hashes: dict[str, str] = {}

    def set_sync(self, key: str, value) -> None:
        content = value.to_bytes()
        write_file(self.root / key, content)
        self.hashes[key] = _hash_of(key, content)

    async def set(self, key: str, value) -> None:
        self.set_sync(key, value)

    async def set_if_not_exists(self, key: str, value) -> None:
        if not (self.root / key).exists():
            self.set_sync(key, value)


class VouchedStore(LocalStore):
    """Files that the ledger names, compared with their hashes as they are read; others do not exist."""

    def __init__(self, root: Path, files: dict[str, str]):
        super().__init__(root, read_only=True)
        self._files = files

    def with_read_only(self, read_only: bool = False):
        return self

    def get_sync(self, key, *, prototype=None, byte_range=None):
        if key not in self._files:
            return None
        buffer = super().get_sync(key, prototype=prototype)
        if buffer is None:
            raise damaged(self.root, f"`{key}` is missing")
        try:
            vouched = _hash_of(key, buffer.to_bytes()) == self._files[key]
        except ValueError:  # no JSON any more
            vouched = False
        if not vouched:
            raise damaged(self.root, f"`{key}` is truncated or altered")
        if byte_range is not None:
            return super().get_sync(key, prototype=prototype, byte_range=byte_range)
        return buffer

    async def get(self, key, prototype=None, byte_range=None):
        return self.get_sync(key, prototype=prototype, byte_range=byte_range)

    async def exists(self, key: str) -> bool:
        return key in self._files


class ArrayWriter:
    """Arrays of one store, all with the axes (chain, draw, …) and blocks of draws as their chunks."""

    def __init__(self, root: Path):
        self.store = HashedStore(root)

    def begin(self, groups: dict[str, dict[str, Any]]) -> None:
        """Make the root and `groups`, each with its attributes."""
        zarr.create_group(self.store, attributes={"monochord": "see the folder .monochord for what counts"})
        for name, attributes in groups.items():
            zarr.create_group(self.store, path=name, attributes=attributes)

    def create(self, path: str, example: np.ndarray, length: int, block: int, names: tuple[str, ...]) -> None:
        """An empty array for draws like `example`, up to `length` of each chain.

        Draws are noise, which hardly compresses: they are not.
        """
        chains, _, *event = example.shape
        zarr.create_array(
            self.store, name=path, shape=(chains, length, *event), dtype=example.dtype, compressors=None,
            chunks=(chains, block, *(max(1, size) for size in event)), dimension_names=names,
            fill_value=np.nan if example.dtype.kind == "f" else 0, config={"write_empty_chunks": True},
        )  # fmt: skip

    def add(self, path: str, value: np.ndarray, names: tuple[str, ...]) -> None:
        """A whole array, such as data."""
        made = zarr.create_array(
            self.store, name=path, shape=value.shape, dtype=value.dtype, dimension_names=names, compressors=None,
            chunks=tuple(max(1, size) for size in value.shape) or "auto", config={"write_empty_chunks": True},
        )  # fmt: skip
        made[...] = value

    def write(self, path: str, first: int, rows: np.ndarray) -> None:
        """Draws from number `first` of the array on; whole chunks, but for the run's last."""
        array = zarr.open_array(self.store, path=path, mode="r+", config={"write_empty_chunks": True})
        assert array.shape[1] >= first + rows.shape[1], "Zarr would cut what goes beyond the end"
        array[:, first : first + rows.shape[1]] = rows

    def set_length(self, path: str, length: int) -> None:
        """How many draws others see: it only says so, nothing is read or cut."""
        key = f"{path}/{METADATA}"
        document = json.loads((self.store.root / key).read_bytes())
        document["shape"][1] = length
        self._set(key, document)

    def set_attributes(self, group: str, attributes: dict[str, Any]) -> None:
        """The attributes of a group."""
        key = f"{group}/{METADATA}"
        self._set(key, json.loads((self.store.root / key).read_bytes()) | {"attributes": attributes})

    def _set(self, key: str, document: dict[str, Any]) -> None:
        write_file(self.store.root / key, json.dumps(document).encode())

    def taken(self) -> dict[str, str]:
        """Hashes of all files written since this was last asked."""
        hashes, self.store.hashes = self.store.hashes, {}
        return hashes


def read_rows(ledger: Ledger, path: str, done: int, stride: int) -> np.ndarray:
    """Every `stride`-th of the first `done` draws of an array, each chunk checked."""
    array = zarr.open_array(VouchedStore(ledger.root, ledger.files()), path=path, mode="r")
    return np.asarray(array[:, 0:done:stride])


def open_group(ledger: Ledger, name: str):
    """A group as an xarray dataset that reads lazily, each chunk checked as it is read."""
    import xarray

    return xarray.open_zarr(
        VouchedStore(ledger.root, ledger.files()), group=name, consolidated=False, chunks=None, decode_times=False,
        mask_and_scale=False,
    )  # fmt: skip
