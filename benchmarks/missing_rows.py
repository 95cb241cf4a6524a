"""A CSV of rows that the same command resumes."""

import csv
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a file; none where there is no file."""
    return list(csv.DictReader(path.open())) if path.exists() else []


def append_missing(
    path: Path, fields: tuple[str, ...], wanted: Iterable[tuple], key: tuple[str, ...], make: Callable[..., dict]
) -> None:
    """Append ``make(*place)`` for each place of `wanted` that no row of `path` has in the columns `key`."""
    known = read_csv(path)
    done = {tuple(row[name] for name in key) for row in known}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        if not known:
            writer.writeheader()
        for place in wanted:
            if tuple(map(str, place)) not in done:
                made = make(*place)
                writer.writerow(made)
                file.flush()
                print(*(made[field] for field in fields), file=sys.stderr, flush=True)
