"""The summary prints as a table, and stays a list of rows."""

import math

from monochord.summaries import MOST_PRINTED, Summary, SummaryRow

ROW = SummaryRow("theta[1]", 1.23456789, 2345.678, -1e-5, 0.5, 1234.5, math.nan, 1.00123)


def test_a_summary_prints_a_row_a_quantity():
    """Catches: named tuples in full, a column under another's heading."""
    head, line = str(Summary([ROW])).splitlines()
    assert line.split() == ["theta[1]", "1.235", "2346", "-1e-05", "0.5", "1,234", "nan", "1.001"]
    assert head.split() == ["mean", "sd", "3", "%", "97", "%", "bulk", "ESS", "tail", "ESS", "R̂"]
    ends = [head.index(name) + len(name) for name in ("mean", "sd", "3 %", "97 %", "bulk ESS", "tail ESS")]
    assert all(line[end - 1] != " " and line[end] == " " for end in ends)


def test_a_long_summary_prints_its_beginning_and_says_so():
    """Catches: ten thousand lines in a terminal."""
    lines = str(Summary([ROW] * 10_000)).splitlines()
    assert len(lines) == 1 + MOST_PRINTED + 1
    assert lines[-1] == f"… and {10_000 - MOST_PRINTED:,} more rows"


def test_a_summary_is_a_list_of_rows():
    """Catches: a script that can no longer index, slice or measure it."""
    rows = Summary([ROW, ROW])
    assert rows == [ROW, ROW]
    assert len(rows[:1]) == 1
    assert rows[0].ess_bulk == 1234.5
