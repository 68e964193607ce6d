"""Where output goes: words and bars for people, JSON for programs, and never both in one stream."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.console import Console

_STANDARD_OUTPUT = Path("-")
_NEXT_TO_NOTHING = 1e-300
# Behind the point. What is less than that is rounding.
_MOST_DIGITS = 11


def console(json_file: Path | None = None) -> Console:
    """For people: standard output, or standard error where standard output is for the JSON."""
    stream = sys.stderr if json_file == _STANDARD_OUTPUT else sys.stdout
    return Console(file=stream, markup=False, highlight=False, soft_wrap=True)


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, as the documents hold it."""
    return [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows)]


def count(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def extent(ends: Sequence[float]) -> str:
    """Where a difference lies; an end next to 0, but not 0, says that 0 is excluded.

    One that is 0 says that 0 is not.
    """
    low, high = ends
    if low == 0:
        return f"at least 0, at most {_end(high)}"
    if high == 0:
        return f"at most 0, at least {_end(low)}"
    if 0 < low < _NEXT_TO_NOTHING:
        return f"above 0, at most {_end(high)}"
    if -_NEXT_TO_NOTHING < high < 0:
        return f"below 0, at least {_end(low)}"
    return f"[{_end(low)}, {_end(high)}]"


def _end(value: float) -> str:
    """As many digits as it takes to tell it from 0, at least four."""
    digits = next((it for it in range(4, _MOST_DIGITS) if round(value, it)), None)
    return "0" if digits is None else f"{value:.{digits}f}"


def write_json(text: str, json_file: Path | None) -> None:
    """Write the answer where ``--json`` says; nowhere where it was not given."""
    if json_file == _STANDARD_OUTPUT:
        typer.echo(text)
    elif json_file:
        json_file.write_text(text + "\n", encoding="utf-8")
