"""The README's table and plot, from rows alone: each package by the cheapest of its methods that was right.

Run: python -m benchmarks.front benchmarks/results/peers.jsonl [--readme README.md] [--plot benchmarks/results/peers.png]
Taking the cheapest right method a problem favours the peers: nobody knows beforehand which one that is. Ours is the default alone.
"""

import argparse
import math
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.plot import plot
from benchmarks.run import QUICK_PROBLEMS, key_of, read_rows
from benchmarks.scores import grouped, write_notes

OURS = "monochord/auto/auto"
PACKAGES = {"nutpie": "nutpie", "blackjax": "BlackJAX", "numpyro": "NumPyro", "pymc": "PyMC", "cmdstan": "CmdStan"}
MARKERS = ("<!-- table of benchmarks.front -->", "<!-- end of table -->")


def costs(rows: list[dict]) -> dict[str, dict[str, float | None]]:
    """grads@400 by package and problem: of the cheapest method whose every seed was right; None where none was."""
    found: dict[str, dict[str, float | None]] = {}
    for (problem, method), group in grouped(rows).items():
        package = method.split("/")[0]
        if package == "monochord" and method != OURS:
            continue
        of_package = found.setdefault(package, {})
        right = all(row["status"] == "ok" for row in group)
        cost = median(row["grads_at_400"] for row in group) if right else None
        known = of_package.get(problem)
        of_package[problem] = cost if known is None else min(known, cost or math.inf)
    return found


def table(rows: list[dict]) -> str:
    """Markdown: the quick set by package, then the scores over every problem, then where ours lost."""
    found = costs(rows)
    ours, problems = found["monochord"], list(found["monochord"])
    packages = [package for package in PACKAGES if package in found]
    lines = ["| gradients to an ESS of 400 | Monochord | " + " | ".join(PACKAGES[p] for p in packages) + " |"]
    lines += ["|---" * (len(packages) + 2) + "|"]
    for problem in QUICK_PROBLEMS:
        cells = [_cell(found[package], problem) for package in ("monochord", *packages)]
        lines.append(f"| {problem.split('-', 1)[-1]} | " + " | ".join(cells) + " |")
    ratios = [_ratio(ours, found[package]) for package in packages]
    lines.append(f"| ours over theirs, all {len(problems)} problems | | " + " | ".join(ratios) + " |")
    right = [_share(found[package]) for package in ("monochord", *packages)]
    lines.append("| problems answered rightly | " + " | ".join(right) + " |")
    lines += ["", _losses(ours, {package: found[package] for package in packages})]
    return "\n".join(lines)


def _cell(costs_of: dict, problem: str) -> str:
    if problem not in costs_of:
        return "-"
    return "failed" if costs_of[problem] is None else f"{costs_of[problem]:,.0f}"


def _ratio(ours: dict, theirs: dict) -> str:
    """Geometric mean where both are right, and over how many problems."""
    both = [ours[p] / theirs[p] for p in ours if ours[p] is not None and theirs.get(p) is not None]
    return f"{geometric_mean(both):.3f} ({len(both)})" if both else "-"


def _share(costs_of: dict) -> str:
    return f"{sum(cost is not None for cost in costs_of.values())} of {len(costs_of)}"


def _losses(ours: dict, packages: dict[str, dict]) -> str:
    """Where a peer was right and ours was not or cost more, and where nobody was right."""
    others = {p: [c[p] for c in packages.values() if c.get(p) is not None] for p in ours}
    failed = [p for p in ours if ours[p] is None and others[p]]
    dearer = [
        f"{p} ({ours[p] / min(others[p]):.1f} ×)"
        for p in ours
        if ours[p] is not None and others[p] and ours[p] > min(others[p])
    ]
    nobody = [p for p in ours if ours[p] is None and not others[p]]
    only = [p for p in ours if ours[p] is not None and not others[p]]
    parts = {
        "Ours failed where a peer did not": failed, "Ours cost more than the cheapest peer": dearer,
        "Only ours was right": only, "Nobody was right": nobody,
    }  # fmt: skip
    return " ".join(
        f"{head}: {', '.join(f'`{p}`' if ' ' not in p else p for p in names) or 'nowhere'}."
        for head, names in parts.items()
    )


def main() -> None:
    """Print the table; put it between the README's markers and draw the plot if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = list({key_of(row): row for row in read_rows(options.file)}.values())
    text = table(rows)
    print(text)
    if options.readme:
        write_notes(options.readme, [text], MARKERS)
    if options.plot:
        shown = [row for row in rows if row["method"] == OURS or not row["method"].startswith("monochord/")]
        plot(grouped(shown), options.plot, (OURS,))


if __name__ == "__main__":
    main()
