"""Where output goes: words and bars for people, JSON for programs, and never both in one stream."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.console import Console

_STANDARD_OUTPUT = Path("-")
_NEXT_TO_NOTHING = 1e-300


def console(json_file: Path | None = None) -> Console:
    """For people: standard output, or standard error where standard output is for the JSON."""
    stream = sys.stderr if json_file == _STANDARD_OUTPUT else sys.stdout
    return Console(file=stream, markup=False, highlight=False, soft_wrap=True)


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, as the documents hold it."""
    return [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows)]


def extent(ends: Sequence[float]) -> str:
    """Where a difference lies; an end next to 0, but not 0, says that 0 is excluded."""
    low, high = ends
    if 0 < low < _NEXT_TO_NOTHING:
        return f"above 0, at most {high:.4f}"
    if -_NEXT_TO_NOTHING < high < 0:
        return f"below 0, at least {low:.4f}"
    return f"[{low:.4f}, {high:.4f}]"


def write_json(text: str, json_file: Path | None) -> None:
    """Write the answer where ``--json`` says; nowhere where it was not given."""
    if json_file == _STANDARD_OUTPUT:
        typer.echo(text)
    elif json_file:
        json_file.write_text(text + "\n", encoding="utf-8")
