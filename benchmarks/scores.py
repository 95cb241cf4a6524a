"""Tables and scores from rows alone.

Run: python -m benchmarks.scores results/peers.jsonl [more.jsonl] [--ours monochord/auto/nuts] [--plot out.png]
[--notes NOTES.md], which writes the shorter tables between the two markers of that file. A failure of ours counts ten times the gradients it spent; a peer's failure leaves its ratio and is listed.
"""

import argparse
import math
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.plot import CANNOT_RUN, plot
from benchmarks.run import key_of, read_rows

OURS = ("monochord/auto/auto", "monochord/auto/nuts", "monochord/auto/hmc")
FAILURE_FACTOR = 10
NOTES_MARKERS = ("<!-- tables of benchmarks.scores -->", "<!-- end of tables -->")
NEAR_MISS = 1.02  # an R-hat below it at an ESS of some hundreds may be noise


def cost(row: dict, is_ours: bool) -> float | None:
    """grads@400 of a row; of a failed one ten times what it spent if ours, else None."""
    if row["status"] == "ok":
        return float(row["grads_at_400"])
    if not is_ours:
        return None
    return FAILURE_FACTOR * float(row.get("gradients_total") or 0) or math.inf


def grouped(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Rows of each (problem, method), every seed."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["problem"], row["method"]), []).append(row)
    return groups


def ratio(rows: list[dict], ours: str, peer: str) -> dict:
    """Geometric mean over problems of cost(ours)/cost(peer); medians over seeds, a peer's failed seed fails it."""
    groups, ratios, left_out, ours_failed = grouped(rows), {}, {}, []
    for problem in dict.fromkeys(problem for problem, _ in groups):
        mine, theirs = groups.get((problem, ours)), groups.get((problem, peer))
        if not mine or not theirs:
            continue
        bad = [row["reason"] for row in theirs if cost(row, False) is None]
        if bad:
            left_out[problem] = bad[0]
            continue
        if any(row["status"] != "ok" for row in mine):
            ours_failed.append(problem)
        ratios[problem] = median(cost(row, True) for row in mine) / median(cost(row, False) for row in theirs)
    mean = geometric_mean(ratios.values()) if ratios else None
    return {"mean": mean, "ratios": ratios, "left_out": left_out, "ours_failed": ours_failed}


def table(rows: list[dict]) -> str:
    """Markdown: grads@400 for each problem (lines) and method (columns); a failure shows its reason."""
    groups = grouped(rows)
    names, methods = (list(dict.fromkeys(key[place] for key in groups)) for place in (0, 1))
    lines = ["| problem | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for name in names:
        cells = [_cell(groups.get((name, method), [])) for method in methods]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: list[dict]) -> str:
    failed = [row["reason"] for row in rows if row["status"] != "ok"]
    if failed:
        return f"failed: {_short(failed[0])}"
    return f"{median(row['grads_at_400'] for row in rows):,.0f}" if rows else "not run"


def _short(reason: str) -> str:
    """The first of several reasons, fit for a cell."""
    return reason.split(";")[0][:60].replace("|", "/")


def is_peer(row: dict) -> bool:
    """Whether the row is of another package."""
    return not row["method"].startswith("monochord/")


def peers(rows: list[dict]) -> list[str]:
    """The methods of other packages."""
    return list(dict.fromkeys(row["method"] for row in rows if is_peer(row)))


def ratio_table(rows: list[dict], ours: str) -> str:
    """Markdown: the geometric mean of ratios to each peer, how many problems made it and which were left out."""
    lines = [f"| {ours} / peer | ratio | problems | peer failed | ours failed (×10) |", "|---|---|---|---|---|"]
    for peer in peers(rows):
        score = ratio(rows, ours, peer)
        mean = "-" if score["mean"] is None else f"{score['mean']:.3f}"
        lists = ", ".join(score["left_out"]) or "-", ", ".join(score["ours_failed"]) or "-"
        lines.append(f"| {peer} | {mean} | {len(score['ratios'])} | {lists[0]} | {lists[1]} |")
    return "\n".join(lines)


def left_table(rows: list[dict], ours: str) -> str:
    """Markdown: each peer and problem that leaves a ratio, with the peer's reason and what ours did there."""
    lines = [f"| leaves the ratio of {ours} | problem | why | ours there |", "|---|---|---|---|"]
    groups = grouped(rows)
    for peer in peers(rows):
        for problem, reason in ratio(rows, ours, peer)["left_out"].items():
            lines.append(f"| {peer} | {problem} | {_short(reason)} | {_cell(groups[problem, ours])} |")
    return "\n".join(lines) if len(lines) > 2 else f"No peer leaves the ratio of {ours}."


def target_table(rows: list[dict], ours: tuple[str, ...]) -> str:
    """Markdown: for each problem the cheapest other package that was judged right, CmdStan's published cost, and ours.

    It is against the second column that ours are to be read; published costs are judged by nobody and stand apart.
    """
    groups, names = grouped(rows), peers(rows)
    heads = ("problem", "cheapest right peer", "its grads@400", "peers right", "published", *ours)
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for problem in dict.fromkeys(problem for problem, _ in groups):
        made = {peer: groups[problem, peer] for peer in names if (problem, peer) in groups}
        published = [row for group in made.values() for row in group if "source" in row]
        tried = {peer: group for peer, group in made.items() if not any(_is_elsewhere(row) for row in group)}
        right = {
            peer: median(row["grads_at_400"] for row in group)
            for peer, group in tried.items()
            if all(row["status"] == "ok" for row in group)
        }
        best = min(right, key=lambda peer: right[peer]) if right else None
        cells = [problem, best or "none", f"{right[best]:,.0f}" if best else "-", f"{len(right)} of {len(tried)}"]
        cells += [f"{published[0]['grads_at_400']:,}" if published else "-"]
        cells += [_cell(groups.get((problem, method), [])) for method in ours]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _is_elsewhere(row: dict) -> bool:
    """Whether a row is somebody else's, or of a program that is not installed here."""
    return "source" in row or row["reason"].startswith(CANNOT_RUN)


def reasons_table(rows: list[dict]) -> str:
    """Markdown: how many of each peer's rows are right, and why the others are not."""
    lines = [f"| peer | right | R-hat < {NEAR_MISS} | R-hat | ESS | wrong | timed out | other |", "|---" * 8 + "|"]
    for peer in peers(rows):
        made = [row for row in rows if row["method"] == peer]
        counts = dict.fromkeys(("ok", "near", "R-hat", "ESS", "wrong", "timed out", "other"), 0)
        for row in made:
            counts[_kind(row, counts)] += 1
        lines.append(f"| {peer} | {counts.pop('ok')} of {len(made)} | {' | '.join(map(str, counts.values()))} |")
    return "\n".join(lines)


def _kind(row: dict, kinds) -> str:
    """Return "ok", or the kind of a failed row's first reason."""
    if row["status"] == "ok":
        return "ok"
    kind = next((kind for kind in kinds if row["reason"].startswith(kind)), "other")
    return "near" if kind == "R-hat" and float(row.get("r_hat", math.inf)) < NEAR_MISS else kind


def failure_table(rows: list[dict]) -> str:
    """Markdown: every failed row of ours with its reason and the gradients that count ten times."""
    lines = ["| failure of ours | problem | seed | why | gradients spent |", "|---|---|---|---|---|"]
    for row in rows:
        if row["status"] != "ok" and not is_peer(row):
            spent = f"{row['gradients_total']:,}" if row.get("gradients_total") else "unknown"
            lines.append(f"| {row['method']} | {row['problem']} | {row['seed']} | {_short(row['reason'])} | {spent} |")
    return "\n".join(lines) if len(lines) > 2 else "No failure of ours."


TIMED = ("import", "compile", "fit", "warmup", "sampling", "other", "all", "cpu")


def timing_table(rows: list[dict]) -> str:
    """Markdown: wall seconds of cold and warm runs by part, of the rows that have them.

    A cold run's import is that of the package and of what loads on first use; `all` then includes it.
    """
    lines = [f"| problem | method | run | {' | '.join(TIMED)} |", "|---" * (len(TIMED) + 3) + "|"]
    for row in rows:
        for run in ("cold", "warm"):
            seconds = dict(row.get(f"seconds_{run}") or {})
            if "other" not in seconds:
                continue
            for part in ("import", "all") if run == "cold" else ():
                seconds[part] += row["seconds_import"]
            cells = " | ".join(f"{seconds[part]:.2f}" for part in TIMED)
            lines.append(f"| {row['problem']} | {row['method']} | {run} | {cells} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def unjudged(rows: list[dict]) -> str:
    """Lines that say which right rows were judged by less: without an R-hat, or without a truth."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        if row["status"] == "ok" and row.get("r_hat") is None:
            found.setdefault(row["method"], []).append(row)
    lines = [
        f"Not judged, enters as right: {method} on {len(group)} problems ({group[0]['reason'] or 'R-hat is not stated'})"
        for method, group in found.items()
    ]
    without = list(
        dict.fromkeys(row["problem"] for row in rows if row["status"] == "ok" and row.get("within", 0) is None)
    )
    if without:
        lines.append(f"Judged by R-hat and ESS alone, as no truth was known when they were made: {', '.join(without)}")
    return "\n".join(lines) or "Every row that counts as right was judged by its R-hat, ESS and errors."


def seconds_line(rows: list[dict]) -> str:
    """How long the rows that were made here took to make."""
    made = [row["seconds_row"] for row in rows if "seconds_row" in row]
    return f"{len(made)} rows took {sum(made):,.0f} s in all."


def write_notes(path: Path, tables: list[str], markers: tuple[str, str] = NOTES_MARKERS) -> None:
    """Put `tables` between the markers of the text at `path`; the rest stays.

    **Raises** `ValueError` where the markers are not there.
    """
    before, found, rest = path.read_text().partition(markers[0])
    _, ended, after = rest.partition(markers[1])
    if not (found and ended):
        raise ValueError(f"`{path}` lacks the lines {markers[0]} and {markers[1]}. Add them where tables belong.")
    path.write_text("\n\n".join([before + found, *tables, ended + after]))


def main() -> None:
    """Print the tables; draw the plot and fill the notes if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--ours", nargs="*", default=list(OURS))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--notes", type=Path)
    options = parser.parse_args()
    found = {key_of(row): row for path in options.files for row in read_rows(path)}  # a later file wins
    rows = list(found.values())
    ours_here = [ours for ours in options.ours if any(row["method"] == ours for row in rows)]
    short = [
        target_table(rows, tuple(ours_here)),
        reasons_table(rows),
        *(ratio_table(rows, ours) for ours in ours_here),
    ]
    short += [failure_table(rows), unjudged(rows), seconds_line(rows)]
    parts = [*short, table(rows), *(left_table(rows, ours) for ours in ours_here), timing_table(rows)]
    print("\n\n".join(part for part in parts if part))
    if options.notes:
        write_notes(options.notes, short)
    if options.plot:
        plot(grouped(rows), options.plot, tuple(options.ours))


if __name__ == "__main__":
    main()
