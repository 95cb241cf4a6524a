"""An NPZ with a JSON member: arrays that NumPy reads, a head that any language reads, and no pickles.

NPZ is a ZIP of .npy files, so the JSON is one more member of it. Numbers that JSON lacks are the strings "NaN",
"Infinity" and "-Infinity".
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monochord.errors import DataError

SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def number_json(value: float | int | None) -> float | int | str | None:
    """A number as JSON can hold it."""
    if value is None:
        return None
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from(value: Any) -> float | None:
    """The number that `number_json` wrote. **Raises** `KeyError` for other text."""
    return SPECIAL[value] if isinstance(value, str) else value if value is None else float(value)


def archive_bytes(head_name: str, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file's content; the same for the same arguments, as no time is stamped into it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(head_name), json.dumps(head, allow_nan=False, indent=1, ensure_ascii=False))
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue())
    return buffer.getvalue()


class ArchiveReader:
    """Reads what `archive_bytes` wrote; used in a `with` block, in which damage of any kind becomes a `DataError`.

    `what` is a phrase such as "a fit" for the messages.
    """

    def __init__(self, path: str | os.PathLike, head_name: str, format_name: str, version: int, what: str):
        self.path, self.what = Path(path), what
        self._expected = head_name, format_name, version

    def __enter__(self) -> "ArchiveReader":
        if not self.path.is_file():
            raise DataError(
                f"the file `{self.path}` does not exist. {self.what.capitalize()} is read from one. Check the path."
            )
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"`{self.path}` is no NPZ file, or was cut short ({error}). {self.what.capitalize()} is kept in one. Save it again."
            ) from None
        try:
            self.head = self._read_head()
        except BaseException:
            self._archive.close()
            raise
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._archive.close()
        if error is None or isinstance(error, DataError) or not isinstance(error, Exception):
            return
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"`{self.path}` is damaged: {reason}. {self.what.capitalize()} needs all its parts. Save it again."
        ) from error

    def array(self, name: str, shape: tuple[int | None, ...], dtype: type = np.float64) -> np.ndarray:
        """One array, of 64-bit floats unless `dtype` is np.int64; None in `shape` is any length.

        **Raises** `DataError` for another shape or type.
        """
        with self._archive.open(f"{name}.npy") as member:
            array = np.lib.format.read_array(io.BytesIO(member.read()), allow_pickle=False)
        fits = len(array.shape) == len(shape) and all(
            want in (None, got) for want, got in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            wanted = "×".join("n" if length is None else str(length) for length in shape)
            words = "floats" if dtype is np.float64 else "integers"
            raise DataError(
                f"`{self.path}` is damaged: `{name}` has type {array.dtype} and shape {array.shape}, where 64-bit {words} of "
                f"shape {wanted} belong. Save it again."
            )
        return array

    def _read_head(self) -> Mapping[str, Any]:
        head_name, format_name, version = self._expected
        if head_name not in self._archive.namelist():
            raise DataError(
                f"`{self.path}` is an NPZ of something else: {self.what} holds a member `{head_name}`. Check the path."
            )
        try:
            head = json.loads(self._archive.read(head_name))
        except Exception as error:  # zip and JSON readers have many
            raise DataError(
                f"`{self.path}` is damaged: `{head_name}` cannot be read ({error}). Save it again."
            ) from None
        if not isinstance(head, dict) or head.get("format") != format_name:
            raise DataError(
                f"`{self.path}` is not of the format `{format_name}`. Only that holds {self.what}. Check the path."
            )
        if head.get("version") != version:
            raise DataError(
                f"`{self.path}` has version {head.get('version')} of the format `{format_name}`, this Monochord reads "
                f"version {version}. Read it with the Monochord that wrote it."
            )
        return head
