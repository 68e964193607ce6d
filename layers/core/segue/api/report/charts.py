"""Charts as SVG: lines over a quantity, and intervals under each other.

Colours and line widths are the page's style sheet's: series number n has the class ``s{n}``.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

# In the units of the drawing, which stretches to the width of its place on the page.
WIDTH = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 36
_LINES_HEIGHT = 240
_ROW = 34
# What a line of text takes.
_LABEL = 15

Format = Callable[[float], str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right, drawn as series ``series``."""

    series: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Band:
    """What lies between two curves over the same places: (x, low, high)."""

    series: int
    edges: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval about it, in a row of its own."""

    label: str
    series: int
    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes are called, how their numbers read, and a level to be marked."""

    x: str
    x_format: Format
    y_format: Format
    mark: float | None = None
    mark_label: str = ""
    # Where the line is far from the mark, as far as one can know.
    mark_label_at_start: bool = False
    y_ticks: bool = True
    # Where the numbers are counts or exponents, those between whole ones read badly.
    x_least_step: float = 0.0
    y_least_step: float = 0.0


class _Scale:
    """Maps what is between two values to what is between two places of the drawing."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        if high - low < 1e-12:
            low, high = low - 0.5, high + 0.5
        self.low, self.high = low, high
        self._start = start
        self._factor = (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) * self._factor

    def ticks(self, most: int, least_step: float = 0.0) -> Iterator[float]:
        """Round numbers within."""
        step = _round_step(max((self.high - self.low) / most, least_step))
        for place in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield place * step


def lines(title: str, axes: Axes, drawn: Sequence[Line], bands: Sequence[Band] = ()) -> str:
    """A chart of lines over bands. Each line has two points or more."""
    points = [point for line in drawn for point in line.points]
    points += [(x, y) for band in bands for x, *edges in band.edges for y in edges]
    marked = [] if axes.mark is None else [axes.mark]
    x = _Scale([place for place, _ in points], _LEFT, WIDTH - _RIGHT)
    room = _LABEL * len(marked)
    y = _Scale(
        [*(value for _, value in points), *marked], _LINES_HEIGHT - _BOTTOM - room, _TOP + room
    )
    parts = [
        *(
            _y_tick(y(tick), axes.y_format(tick))
            for tick in y.ticks(5, axes.y_least_step)
            if axes.y_ticks
        ),
        *(
            _x_tick(x(tick), _LINES_HEIGHT, axes.x_format(tick))
            for tick in x.ticks(5, axes.x_least_step)
        ),
        *(_area(band, x, y) for band in bands),
        *(_mark_across(y(level)) for level in marked),
        *(_polyline(line, x, y) for line in drawn),
        *(_mark_label(axes, y(level), drawn[0].points, y) for level in marked),
        _caption(axes.x, _LINES_HEIGHT),
    ]
    return _svg(title, _LINES_HEIGHT, parts)


def intervals(
    title: str,
    x_format: Format,
    rows: Sequence[Interval],
    mark: float | None = None,
    x_least_step: float = 0.0,
) -> str:
    """A chart of intervals under each other, with a line down at ``mark``; empty without any."""
    if not rows:
        return ""
    marked = [] if mark is None else [mark]
    left = 16 + 7 * max(len(row.label) for row in rows)
    height = len(rows) * _ROW + _TOP + _BOTTOM - 12
    ends = [*marked, *(end for row in rows for end in (row.low, row.high))]
    x = _Scale(ends, left, WIDTH - _RIGHT)
    parts = [
        *(_x_tick(x(tick), height + 12, x_format(tick)) for tick in x.ticks(5, x_least_step)),
        *(_mark_down(x(level), height - _BOTTOM + 12) for level in marked),
        *(_row(row, x, _TOP + _ROW * (place + 0.5)) for place, row in enumerate(rows)),
    ]
    return _svg(title, height, parts)


def _row(row: Interval, x: _Scale, y: float) -> str:
    dot = ""
    if row.value is not None:
        dot = f'<circle class="s{row.series}" cx="{x(row.value):.1f}" cy="{y:.1f}" r="4.5"/>'
    return (
        f'<text class="label" x="0" y="{y + 4:.1f}">{escape(row.label)}</text>'
        f'<path class="line s{row.series}" d="M{x(row.low):.1f} {y:.1f}H{x(row.high):.1f}"/>{dot}'
    )


def _polyline(line: Line, x: _Scale, y: _Scale) -> str:
    path = "L".join(f"{x(px):.1f} {y(py):.1f}" for px, py in line.points)
    return f'<path class="line s{line.series}" d="M{path}"/>'


def _area(band: Band, x: _Scale, y: _Scale) -> str:
    there = [f"{x(px):.1f} {y(high):.1f}" for px, _, high in band.edges]
    back = [f"{x(px):.1f} {y(low):.1f}" for px, low, _ in reversed(band.edges)]
    return f'<path class="band s{band.series}" d="M{"L".join([*there, *back])}Z"/>'


def _y_tick(y: float, text: str) -> str:
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escape(text)}</text>"
    )


def _x_tick(x: float, height: float, text: str) -> str:
    return (
        f'<text class="tick" x="{x:.1f}" y="{height - _BOTTOM + 18:.1f}" text-anchor="middle">'
        f"{escape(text)}</text>"
    )


def _mark_across(y: float) -> str:
    return f'<path class="mark" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'


def _mark_label(axes: Axes, at: float, points: Sequence[Point], y: _Scale) -> str:
    """On that side of the mark where the line is not."""
    x, anchor, nearest = WIDTH - _RIGHT, "end", points[-1]
    if axes.mark_label_at_start:
        x, anchor, nearest = _LEFT, "start", points[0]
    place = at - 5 if y(nearest[1]) >= at else at + _LABEL
    return (
        f'<text class="tick" x="{x}" y="{place:.1f}" text-anchor="{anchor}">'
        f"{escape(axes.mark_label)}</text>"
    )


def _mark_down(x: float, height: float) -> str:
    return f'<path class="mark" d="M{x:.1f} {_TOP}V{height:.1f}"/>'


def _caption(text: str, height: float) -> str:
    x = (_LEFT + WIDTH - _RIGHT) / 2
    return f'<text class="tick" x="{x}" y="{height - 3}" text-anchor="middle">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _round_step(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    steps = (power * digit for digit in (1, 2, 5, 10))
    return next(round_step for round_step in steps if round_step >= step * (1 - 1e-9))
