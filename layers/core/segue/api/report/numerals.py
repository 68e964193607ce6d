"""Numbers as the report's page writes them.

Differences of rates are in percentage points (pp), lifts in percent of the control's rate.
"""

import re
from collections.abc import Callable, Sequence

NO_BREAK = "\u00a0"
MINUS = "\u2212"
_NEXT_TO_NOTHING = 1e-300
# Behind the point. What is less than that is rounding.
_MOST_DIGITS = 9


def percent(value: float) -> str:
    """``30 %``; as few digits as a chart's axis has use for."""
    return f"{100 * value:.3g}{NO_BREAK}%"


def percent1(value: float | None) -> str:
    """``30.1 %``, or a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}{NO_BREAK}%"


def points(value: float) -> str:
    """``+1.5 pp``, or ``+0.003 pp``: as many digits as it takes to tell it from 0."""
    return _told_from_nothing(value, "pp")


def relative(value: float) -> str:
    """``+21.4 %``, likewise."""
    return _told_from_nothing(value, "%")


def axis_points(value: float) -> str:
    """``+20 pp``; as few digits as a chart's axis has use for."""
    # A tick next to nothing is nothing.
    return _written(f"{100 * value:+.3g}{NO_BREAK}pp") if abs(value) > 1e-9 else f"0{NO_BREAK}pp"


def axis_relative(value: float) -> str:
    """``+20 %``, likewise."""
    return axis_points(value).replace("pp", "%")


def loss(value: float) -> str:
    """What a choice gives away on average."""
    return f"under 0.01{NO_BREAK}pp" if value < 0.0001 else f"{100 * value:.2f}{NO_BREAK}pp"


def count(value: float) -> str:
    """``1,234``."""
    return f"{value:,.0f}"


def ratio(counts: Sequence[int]) -> str:
    """``14 / 20``."""
    return f"{counts[0]:,} / {counts[1]:,}"


def power_of_ten(exponent: float) -> str:
    """What stands at a place of a logarithmic axis."""
    return f"{10**exponent:,g}" if -3 <= exponent <= 4 else f"1e{exponent:.0f}"


def powers(text: str) -> str:
    """HTML of a text in which powers are written ``10^12``."""
    return re.sub(r"10\^([\d,]+)", r"10<sup>\1</sup>", text)


def p_value(value: float | None) -> str:
    """A p-value, or why there is none."""
    if value is None:
        return "too many users for it"
    return "under 0.0001" if value < 0.0001 else f"{value:.4f}"


def figure(value: float | None) -> str:
    """A number of any unit, or a dash where there is none."""
    return "-" if value is None else f"{value:.3g}"


def signed(value: float) -> str:
    """A difference of any unit."""
    return _written(f"{value:+.3g}")


def in_unit(form: Callable[[float], str], unit: str) -> Callable[[float], str]:
    """The same with a unit behind it, if there is one."""
    return lambda value: f"{form(value)}{NO_BREAK}{unit}" if unit else form(value)


def interval(ends: Sequence[float], form: Callable[[float], str], between: str = " to ") -> str:
    """``+1.0 to +2.0 pp``; a unit that both ends have is written once."""
    low, high = (form(end) for end in ends)
    unit = "".join(high.rpartition(NO_BREAK)[1:]) if NO_BREAK in high else ""
    return f"{low.removesuffix(unit)}{between}{high}"


def extent(ends: tuple[float, float | None], form: Callable[[float], str] = points) -> str:
    """Where a difference lies: ``+1.0 to +2.0 pp``, ``above 0 and up to +2.0 pp``.

    An end next to 0, but not 0, says that 0 is excluded and nothing is known beyond; one that is
    0, that 0 is not. Without a second end, there is none.
    """
    low, high = ends
    if high is None:
        return "above 0" if 0 < low < _NEXT_TO_NOTHING else f"{form(low)} or more"
    if low == 0:
        return f"at least 0 and up to {form(high)}"
    if high == 0:
        return f"at most 0 and down to {form(low)}"
    if 0 < low < _NEXT_TO_NOTHING:
        return f"above 0 and up to {form(high)}"
    if -_NEXT_TO_NOTHING < high < 0:
        return f"below 0 and down to {form(low)}"
    return interval((low, high), form)


def _told_from_nothing(value: float, unit: str) -> str:
    """In hundredths, with as many digits as it takes."""
    hundredths = 100 * value
    digits = next((it for it in range(1, _MOST_DIGITS) if round(hundredths, it)), None)
    number = "0" if digits is None else _written(f"{hundredths:+,.{digits}f}")
    return f"{number}{NO_BREAK}{unit}"


def _written(number: str) -> str:
    """With a minus sign, which is as wide as a plus sign and never ends a line."""
    return number.replace("-", MINUS)
