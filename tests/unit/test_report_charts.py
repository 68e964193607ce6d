"""The report's charts: what is written in them does not repeat itself, or lie on the lines."""

import re
from xml.etree import ElementTree as ET

import pytest

from segue.api.report.charts import Axes, Line, lines
from segue.api.report.numerals import axis_points, count, extent, points, relative, signed


def written(chart: str) -> dict[str, float]:
    """The texts of a chart, each with how far down it stands."""
    texts = [it for it in ET.fromstring(chart).iter() if it.tag == "text"]
    return {it.text or "": float(it.get("y", "")) for it in texts}


def drawn(*values: float, at_start: bool = False) -> str:
    axes = Axes("users", count, str, 1.0, "a mark", at_start, x_least_step=1.0)
    return lines("a chart", axes, [Line(0, list(enumerate(values, start=130)))])


def marked_at(chart: str) -> float:
    (found,) = re.findall(r'class="mark" d="M\d+ ([\d.]+)H', chart)
    return float(found)


def test_no_count_stands_twice_under_a_line_of_few_users() -> None:
    labels = re.findall(r">([\d,]+)</text>", drawn(4.0, 4.0))
    assert labels.count("130") == labels.count("131") == 1


@pytest.mark.parametrize("values", [(0.0, 4.0), (4.0, 0.0)])
@pytest.mark.parametrize("at_start", [False, True])
def test_a_mark_is_named_on_the_side_where_the_line_is_not(
    values: tuple[float, float], at_start: bool
) -> None:
    chart = drawn(*values, at_start=at_start)
    is_line_above = values[0 if at_start else -1] > 1
    is_name_above = written(chart)["a mark"] < marked_at(chart)
    assert is_name_above is not is_line_above


def test_a_small_difference_is_told_from_none() -> None:
    assert points(0.00004) == "+0.004\u00a0pp"
    assert points(0) == points(1e-17) == "0\u00a0pp"
    assert extent((-0.0003, 0.0002)) == "\u22120.03 to +0.02\u00a0pp"


def test_a_difference_that_ends_at_0_holds_it() -> None:
    assert extent((0, 0.6)) == "at least 0 and up to +60.0\u00a0pp"
    assert extent((-0.6, 0)) == "at most 0 and down to \u221260.0\u00a0pp"


def test_a_lift_may_have_no_upper_end() -> None:
    assert extent((-0.25, 12.5), relative) == "\u221225.0 to +1,250.0\u00a0%"
    assert extent((0.25, None), relative) == "+25.0\u00a0% or more"
    assert extent((5e-324, None), relative) == "above 0"


def test_what_is_less_than_nothing_bears_a_minus_sign() -> None:
    assert points(-0.026) == "\u22122.6\u00a0pp"
    assert points(-0.0003) == "\u22120.03\u00a0pp"
    assert axis_points(-0.2) == "\u221220\u00a0pp"
    assert signed(-0.5) == "\u22120.5"
