"""Scales, ticks and text of the figures."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from monochord.reports._svg import MAX_TICKS, Canvas, Scale, linear_ticks, log_ticks, number, shortened, span_of
from monochord.reports._table import for_script


@pytest.mark.parametrize("limits", [(-3.2, 17.0), (0.0, 1.0), (1e-7, 3e-7), (-1e9, 1e9), (999.5, 1000.5)], ids=str)
def test_linear_ticks_are_round_few_and_inside(limits):
    ticks = linear_ticks(*limits)
    assert 2 <= len(ticks) <= MAX_TICKS + 1
    assert all(limits[0] - 1e-9 * abs(limits[0]) <= tick <= limits[1] * (1 + 1e-9) for tick in ticks)
    gaps = np.diff(ticks)
    np.testing.assert_allclose(gaps, gaps[0])
    assert round(gaps[0] / 10 ** math.floor(math.log10(gaps[0]) + 1e-9), 6) in (1, 2, 5)


@pytest.mark.parametrize("limits", [(1e-8, 1e7), (0.03, 40.0), (1.1, 4.0), (0.5631, 0.8776)], ids=str)
def test_log_ticks_are_few_and_inside(limits):
    ticks = log_ticks(*limits)
    assert 2 <= len(ticks) <= 2 * MAX_TICKS
    assert all(limits[0] * (1 - 1e-9) <= tick <= limits[1] * (1 + 1e-9) for tick in ticks)


def test_scales_map_ends_to_ends_and_stay_near_the_frame():
    scale = Scale(2.0, 200.0, 50, 350, is_log=True)
    np.testing.assert_allclose(scale([2.0, 20.0, 200.0]), [50.0, 200.0, 350.0])
    assert np.isnan(scale([np.nan, -1.0])).all()
    np.testing.assert_allclose(Scale(0.0, 1.0, 100, 0)([-1e12, 1e12]), [102.0, -2.0])


@pytest.mark.parametrize(
    "values", [[], [np.nan], [3.0], [0.0, 0.0], [-1.0, np.inf, 5.0], [2.25, 2.25 + 1e-15]], ids=str
)
def test_limits_are_never_empty(values):
    """Catches: a figure of one value, or of none, that divides by zero."""
    for is_log in (False, True):
        low, high = span_of(values, is_log)
        assert math.isfinite(low)
        assert high > low
        if is_log:
            assert low > 0


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1500, "1500"), (-0.25, "−0.25"), (1e-5, "10⁻⁵"), (2e6, "2·10⁶"), (-3e-4, "−3·10⁻⁴")], ids=str
)  # fmt: skip
def test_axis_numbers(value, text):
    assert number(value) == text


def test_long_names_keep_both_ends():
    assert shortened("short", 10) == "short"
    cut = shortened("a_very_long_group_of_coefficients[1234]", 20)
    assert len(cut) == 20
    assert cut.startswith("a_very_long_g")
    assert cut.endswith("[1234]")


def test_a_canvas_is_well_formed_whatever_it_is_told():
    canvas = Canvas((0.0, 1.0), (1e-3, 1e3), log_y=True)
    canvas.axes("<x> & y", 'a "label"')
    canvas.line([0.0, 0.5, np.nan, 1.0], [1.0, np.inf, 2.0, -3.0], "c0")
    canvas.dots([0.5, 7.0], [1.0, 1.0], "c1")
    canvas.steps([0.0, 0.5, 1.0], [1.0, 2.0], "c2")
    root = ElementTree.fromstring(canvas.render('says "<b>" & more'))
    assert root.attrib["aria-label"] == 'says "<b>" & more'
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")
    dots = next(part for part in root if part.attrib.get("class") == "dots c1")
    assert dots.attrib["d"].count("M") == 1  # the one beyond the frame is left out


def test_data_cannot_end_their_script():
    assert for_script('["</script><!--&\u2028"]') == '["\\u003c/script\\u003e\\u003c!--\\u0026\\u2028"]'
