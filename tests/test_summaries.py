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


def test_a_long_summary_shows_some_of_each_quantity_and_says_what_it_leaves_out():
    """Catches: ten thousand lines in a terminal, and a long vector that hides the parameters behind it."""
    rows = [ROW._replace(name=f"fitted[{i}]") for i in range(10_000)] + [ROW._replace(name="slope")]
    lines = str(Summary(rows)).splitlines()
    assert len(lines) == 1 + MOST_PRINTED // 2 + 1 + 1
    assert lines[-2].startswith("slope ")
    assert lines[-1] == f"not shown: {10_000 - MOST_PRINTED // 2:,} of fitted"
    many = str(Summary([ROW._replace(name=f"x{i}") for i in range(1000)])).splitlines()
    assert len(many) == 1 + MOST_PRINTED + 1
    assert many[-1] == f"not shown: {1000 - MOST_PRINTED} quantities"


def test_a_summary_is_a_list_of_rows():
    """Catches: a script that can no longer index, slice or measure it."""
    rows = Summary([ROW, ROW])
    assert rows == [ROW, ROW]
    assert len(rows[:1]) == 1
    assert rows[0].ess_bulk == 1234.5
