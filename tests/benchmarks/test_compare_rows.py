"""The committed rows of `compare` have its columns, and say of each problem what they must."""

import math

import pytest

from benchmarks import compare
from monochord.comparison import COLUMNS, METRICS

ROWS = compare.stored(compare.RESULTS)


def test_rows_are_complete():
    """Every problem has three metrics, five seeds and three numbers of draws. Catches: columns of another version."""
    assert tuple(ROWS[0]) == (*compare.OURS, *COLUMNS)
    keys = {(row["problem"], row["metric"], row["seed"], row["draws"]) for row in ROWS}
    assert len(keys) == len(ROWS) == len(compare.PROBLEMS) * len(METRICS) * 5 * 3
    assert {row["problem"] for row in ROWS} == set(compare.PROBLEMS)
    assert all(row["reference_is_reliable"] == "True" for row in ROWS)


@pytest.mark.parametrize("problem", compare.PROBLEMS)
def test_outcomes(problem):
    """The found limit is 2/ω_max on the Gaussian; the Gaussian is helped in everything, the funnel not over the identity."""
    found = compare.comparison_of([row for row in ROWS if row["problem"] == problem])
    assert all(math.isfinite(outcome.ratio.value) for outcome in found.outcomes)
    if problem == "ill_cond_50":
        assert not found.not_helped
        for metric in METRICS:
            assert found.values(metric, "stable_step") == pytest.approx(found.values(metric, "step_limit"), rel=0.01)
    if problem == "funnel_10":
        assert len([outcome for outcome in found.not_helped if outcome.against == "identity"]) == 4


def test_table_prints_every_outcome():
    assert compare.table(ROWS).count("\n") == 1 + 4 * len(compare.PROBLEMS)
