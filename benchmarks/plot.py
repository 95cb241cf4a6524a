"""The plot of rows: gradients to ESS 400 for each problem and method, and where each method failed."""

import io
from pathlib import Path
from statistics import median

COLOURS = {
    "monochord": "#c1121f", "nutpie": "#1d6fb8", "numpyro": "#2a9d5c", "blackjax": "#d98200", "pymc": "#7b4ab5",
    "cmdstan": "#555555",
}  # fmt: skip
LIGHT = "#e58f86"  # our other methods, which are no headline
MARKERS = "osD^vP*X<>"  # of a package's methods, in the order of the rows
GRID = "#e4e4e4"
NUM_COLOURS = 255
CANNOT_RUN = ("CMDSTAN is not set", "no Stan program", "the package ")  # how such reasons begin
MAIN = ("monochord/auto/auto", "monochord/auto/nuts")  # large and filled


def plot(groups: dict[tuple[str, str], list[dict]], path: Path, ours: tuple[str, ...] = MAIN) -> None:
    """Draw the rows of each (problem, method): medians over seeds left; right a cross for each failure.

    **Raises** `SystemExit` without matplotlib.
    """
    try:
        import matplotlib
        from PIL import Image
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    problems = _by_cost(groups, ours)
    methods = sorted(
        {method for _, method in groups},
        key=lambda method: (list(COLOURS).index(method.split("/")[0]), method not in ours, method),
    )
    style = _styles(methods, ours)
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, layout="constrained", figsize=(11, 1.9 + 0.27 * len(problems)),
        width_ratios=[1, 0.021 * len(methods) + 0.02],
    )  # fmt: skip
    for place, problem in enumerate(problems):
        for column, method in enumerate(methods):
            if (problem, method) in groups:
                _draw_cell(left, right, place, column, groups[problem, method], style[method])
    _label_costs(left, problems)
    _label_failures(right, methods, style)
    shown = [left.plot([], [], label=method, **style[method])[0] for method in methods]
    figure.legend(handles=shown, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    plt.close(figure)
    # A palette halves the file.
    Image.open(drawn).convert("RGB").quantize(NUM_COLOURS).save(path, format="PNG", optimize=True)


def _draw_cell(left, right, place: int, column: int, rows: list[dict], style: dict) -> None:
    failed = [row["reason"] for row in rows if row["status"] != "ok"]
    if failed:
        marker = "_" if failed[0].startswith(CANNOT_RUN) else "x"
        right.plot(column, place, marker, color=style["color"], markersize=6, markeredgewidth=2)
    else:
        right.plot(column, place, ".", color="#cccccc", markersize=4)
        left.plot(median(row["grads_at_400"] for row in rows), place, **style)


def _label_costs(axes, problems: list[str]) -> None:
    xlabel = "gradients to ESS 400: fit + warm-up + sampling × 400 / ESS"
    axes.set(xscale="log", yticks=range(len(problems)), xlabel=xlabel, ylim=(len(problems) - 0.4, -0.6))
    axes.set_yticklabels(problems, fontsize=8)
    axes.grid(axis="both", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _label_failures(axes, methods: list[str], style: dict[str, dict]) -> None:
    said = "× failed   · right\n– not here   blank: not run"
    axes.set(xlim=(-0.7, len(methods) - 0.3))
    axes.set_xlabel(said, fontsize=8)
    axes.set_xticks(range(len(methods)), methods, rotation=90, fontsize=7)
    axes.xaxis.tick_top()
    for label, method in zip(axes.get_xticklabels(), methods, strict=True):
        label.set_color(style[method]["color"])
    axes.tick_params(axis="both", length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _by_cost(groups: dict, ours: tuple[str, ...]) -> list[str]:
    """Problems, those dearest to the cheapest successful method last, and those without any success at the end."""
    problems = dict.fromkeys(problem for problem, _ in groups)

    def cheapest(problem: str) -> float:
        rows = [rows for (name, _), rows in groups.items() if name == problem]
        done = [group for group in rows if all(row["status"] == "ok" for row in group)]
        return min((median(row["grads_at_400"] for row in group) for group in done), default=float("inf"))

    return sorted(problems, key=cheapest)


def _styles(methods: list[str], ours: tuple[str, ...]) -> dict[str, dict]:
    """Colour by package, marker by method."""
    styles, used = {}, dict.fromkeys(COLOURS, 0)
    for method in methods:
        package = method.split("/")[0]
        colour, marker = COLOURS[package], MARKERS[used[package] % len(MARKERS)]
        colour = LIGHT if package == "monochord" and method not in ours else colour
        used[package] += 1
        is_main = method in ours
        styles[method] = {
            "color": colour, "marker": marker, "linestyle": "none", "markersize": 8 if is_main else 6,
            "markerfacecolor": colour if is_main else "none", "markeredgewidth": 1.2, "alpha": 0.9,
            "zorder": 4 if is_main else 3,
        }  # fmt: skip
    return styles
