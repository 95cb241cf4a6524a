"""Whole-process seconds to an ESS of 400, cold and warm, from rows made with `--timing`: ours beside every Python peer.

Run: python -m benchmarks.wall benchmarks/results/timing.jsonl
A process imports, compiles, warms up and draws; sampling is scaled to an ESS of 400. `cold` has nothing compiled and no cache on disk, `warm`
what a package keeps by itself. `beyond imports` leaves out what importing costs. Ratios are ours over the fastest peer that was right; the load
average of the machine when the row was made is the worst over the problem's rows.
"""

import argparse
from pathlib import Path
from statistics import geometric_mean

from benchmarks.run import read_rows
from benchmarks.scores import write_notes

OURS = "monochord/auto/auto"
MARKERS = ("<!-- table of benchmarks.wall -->", "<!-- end of wall -->")


def whole(row: dict, run: str) -> tuple[float, float]:
    """Seconds of the whole process to an ESS of 400, and the part beyond imports."""
    spent, ess = row[f"seconds_{run}"], min(row["ess_bulk"], row["ess_tail"])
    # a warm process imports like a cold one: what a package loads on first use is in the cold run alone
    imports = row["seconds_import"] + row["seconds_cold"]["import"]
    work = spent["compile"] + spent["fit"] + spent["warmup"] + spent["other"] + spent["sampling"] * min(1.0, 400 / ess)
    return imports + work, work


def lines_of(rows: list[dict]) -> list[str]:
    """A line for each problem on which ours and a peer were right, and the geometric means."""
    lines = [
        "| problem | load | run | ours | fastest peer | its seconds | ratio | ours beyond imports | ratio beyond imports |",
        "|---" * 9 + "|",
    ]
    ratios: dict[tuple[str, int], list[float]] = {}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        here = [row for row in rows if row["problem"] == problem and "seconds_cold" in row and row["status"] == "ok"]
        mine = next((row for row in here if row["method"] == OURS), None)
        peers = [row for row in here if not row["method"].startswith("monochord/")]
        if mine is None or not peers:
            lines.append(f"| {problem} | - | - | {'no right row of ours' if mine is None else 'no right peer'} |")
            continue
        load = max(row["load_average"] for row in here)
        for run in ("cold", "warm"):
            ours = whole(mine, run)
            best = min(peers, key=lambda row: whole(row, run)[0])
            theirs, least = whole(best, run)[0], min(whole(row, run)[1] for row in peers)
            for place, value in enumerate((ours[0] / theirs, ours[1] / least)):
                ratios.setdefault((run, place), []).append(value)
            lines.append(
                f"| {problem} | {load:.1f} | {run} | {ours[0]:.1f} | {best['method']} | {theirs:.1f} | {ours[0] / theirs:.2f} | "
                f"{ours[1]:.1f} | {ours[1] / least:.2f} |"
            )
    for (run, place), values in ratios.items():
        what = "beyond imports" if place else "whole process"
        lines.append(
            f"| geometric mean, {run}, {what} | | | | | | {geometric_mean(values):.2f} (worst {max(values):.2f}) | | |"
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--notes", type=Path)
    options = parser.parse_args()
    text = "\n".join(lines_of(read_rows(options.file)))
    print(text)
    if options.notes:
        write_notes(options.notes, [text], MARKERS)


if __name__ == "__main__":
    main()
