"""The summary table: the worst rows as plain HTML, and all rows as data that the script sorts, searches and pages."""

import json
import math
from html import escape

from monochord._arviz import INTERVAL, SummaryRow
from monochord.reports._material import least_ess

NUM_STATIC = 50
COLUMNS = (
    ("name", "Quantity"), ("mean", "Mean"), ("sd", "Sd"), ("low", f"{INTERVAL:.0%} from"), ("high", "to"),
    ("ess_bulk", "Bulk ESS"), ("ess_tail", "Tail ESS"), ("r_hat", "R̂"),
)  # fmt: skip


def summary_table(rows: list[SummaryRow]) -> str:
    """The table with its controls and data. Without scripts the `NUM_STATIC` rows of the smallest ESS are shown."""
    worst = sorted(rows, key=_badness)[:NUM_STATIC]
    shown = worst if len(rows) > NUM_STATIC else rows
    heads = "".join(f'<th scope="col">{escape(words)}</th>' for _, words in COLUMNS)
    body = "".join(_row(row) for row in shown)
    few = (
        f"<noscript><p>These are the {NUM_STATIC} quantities of the smallest ESS, of {len(rows):,}; with scripts allowed the "
        "table shows, sorts and searches all.</p></noscript>"
        if len(rows) > NUM_STATIC
        else ""
    )
    return f"""{few}<div id="summary-controls" hidden>
<label for="search">Search</label> <input id="search" type="search" autocomplete="off" spellcheck="false">
<p id="count" role="status"></p></div>
<div class="scroll" role="region" aria-labelledby="summary-caption" tabindex="0">
<table id="summary"><caption id="summary-caption">Mean, standard deviation, {INTERVAL:.0%} equal-tailed interval, effective
sample sizes and R̂ of {len(rows):,} quantities</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>
<div id="pages" hidden><button type="button" id="previous">Previous</button> <span id="page"></span>
<button type="button" id="next">Next</button></div>
<script type="application/json" id="summary-data">{_data(rows)}</script>"""


def _badness(row: SummaryRow) -> float:
    ess = least_ess(row)
    return math.inf if row.sd == 0.0 or math.isnan(ess) else ess


def _row(row: SummaryRow) -> str:
    numbers = "".join(f"<td>{escape(text)}</td>" for text in cells(row))
    return f'<tr><th scope="row">{escape(row.name)}</th>{numbers}</tr>'


def cells(row: SummaryRow) -> list[str]:
    """The numbers of a row as text; "–" for what is not known."""
    values = [_short(value) for value in (row.mean, row.sd, row.low, row.high)]
    sizes = [f"{value:.0f}" if math.isfinite(value) else "–" for value in (row.ess_bulk, row.ess_tail)]
    return [*values, *sizes, f"{row.r_hat:.3f}" if math.isfinite(row.r_hat) else "–"]


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def _data(rows: list[SummaryRow]) -> str:
    """Rows as JSON that is safe within a script element: no `<`, `>` or `&` is left in it."""
    entries = [[row.name, *(_number(text) for text in cells(row))] for row in rows]
    return for_script(json.dumps(entries, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def _number(text: str) -> float | None:
    return None if text == "–" else float(text)


def for_script(text: str) -> str:
    """JSON text with everything escaped that could end the script element or begin another one."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
